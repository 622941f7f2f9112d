"""Checks whose printed line is the same on every machine, so that a notebook's stored output can be compared strictly.

The measured number is in the error, never in the line: digits differ between processors, verdicts do not.
"""

from typing import Any

import numpy as np


def check(name: str, value: Any, want: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Print ``ok: <name> is <want> within ...`` if |value − want| <= atol + rtol |want|, element by element.

    Raises:
        AssertionError: otherwise, or if ``value`` is not finite; the message holds both numbers, the worst of arrays.
    """
    found, wanted = np.broadcast_arrays(_array(value), _array(want))
    excess = np.abs(found - wanted) - (atol + rtol * np.abs(wanted))
    good = excess <= 0  # NaN compares false
    if not good.all():
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        where = f" at {tuple(int(i) for i in worst)}" if found.ndim else ""
        raise AssertionError(
            f"{name} is {found[worst]:.8g}{where}, expected {wanted[worst]:.8g} within {_margin(rtol, atol)}"
        )
    target = f"{float(_array(want)):g}" if _array(want).ndim == 0 else "as expected"
    print(f"ok: {name} is {target} within {_margin(rtol, atol)}")


def check_below(name: str, value: Any, bound: float) -> None:
    """Print ``ok: <name> is below <bound>`` if all of ``value`` is; AssertionError with the largest otherwise."""
    largest = _array(value).max()  # NaN wins the maximum and loses the comparison
    if not largest < bound:
        raise AssertionError(f"{name} is {largest:.8g}, expected below {bound:g}")
    print(f"ok: {name} is below {bound:g}")


def check_above(name: str, value: Any, bound: float) -> None:
    """Print ``ok: <name> is above <bound>`` if all of ``value`` is; AssertionError with the smallest otherwise."""
    smallest = _array(value).min()
    if not smallest > bound:
        raise AssertionError(f"{name} is {smallest:.8g}, expected above {bound:g}")
    print(f"ok: {name} is above {bound:g}")


def _array(value: Any) -> np.ndarray:
    """A float64 array from a number, a sequence, or a tensor (detached, on the CPU) without importing torch."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)


def _margin(rtol: float, atol: float) -> str:
    parts = [f"{label}={number:g}" for label, number in (("rtol", rtol), ("atol", atol)) if number]
    return ", ".join(parts) or "0"
