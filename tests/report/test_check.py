import math

import numpy as np
import pytest
import torch

from pushforward.report import check, check_above, check_below


def test_the_line_holds_no_measured_digit(capsys):
    check("mass", 1.0004, 1.0, atol=1e-3)
    check("slope", torch.tensor(4.1, requires_grad=True), 4, rtol=0.05)
    check("moments", np.array([0.1, 0.9]), [0.0, 1.0], atol=0.2, rtol=0.1)
    check("count", 3, 3)
    check_below("round trip", [1e-7, 2e-7], 1e-5)
    check_above("power", 0.9, 0.5)
    assert capsys.readouterr().out.splitlines() == [
        "ok: mass is 1 within atol=0.001",
        "ok: slope is 4 within rtol=0.05",
        "ok: moments is as expected within rtol=0.1, atol=0.2",
        "ok: count is 3 within 0",
        "ok: round trip is below 1e-05",
        "ok: power is above 0.5",
    ]


@pytest.mark.parametrize(
    ("value", "want", "rtol", "atol", "message"),
    [
        (1.2, 1.0, 0.0, 0.1, "x is 1.2, expected 1 within atol=0.1"),
        (1.105, 1.0, 0.1, 0.0, "x is 1.105, expected 1 within rtol=0.1"),  # relative to what is wanted
        (0.8, 1.0, 0.1, 0.0, "x is 0.8, expected 1 within rtol=0.1"),
        (math.nan, 1.0, 0.1, 9.0, "x is nan, expected 1"),
        (math.inf, 1.0, 0.1, 9.0, "x is inf, expected 1"),
        ([1.0, 2.0, 1.1], 1.0, 0.0, 0.5, r"x is 2 at \(1,\), expected 1 within atol=0.5"),
        ([3.0, math.nan], 1.0, 0.0, 0.5, r"x is nan at \(1,\)"),
        ([[1.0], [2.0]], [[1.0], [2.6]], 0.1, 0.1, r"x is 2 at \(1, 0\), expected 2.6 within rtol=0.1, atol=0.1"),
    ],
)
def test_an_error_holds_both_numbers(value, want, rtol, atol, message, capsys):
    with pytest.raises(AssertionError, match=message):
        check("x", value, want, rtol=rtol, atol=atol)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [2.0, 3.0, math.nan, [1.0, 2.5], [1.0, math.nan]])
def test_below_is_strict_and_reads_every_element(value):
    with pytest.raises(AssertionError, match="expected below 2"):
        check_below("x", value, 2.0)


@pytest.mark.parametrize("value", [2.0, 1.0, math.nan, [3.0, 1.5], [3.0, math.nan]])
def test_above_is_strict_and_reads_every_element(value):
    with pytest.raises(AssertionError, match="expected above 2"):
        check_above("x", value, 2.0)
