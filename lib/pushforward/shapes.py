"""Names for tensor shapes, and the one check of points at the public door.

``n`` points, ``d`` dimension, ``t`` times, ``k`` blocks, ``m`` probes.
"""

import torch
from torch import Tensor

from pushforward.errors import InputError

Points = Tensor  # [n, d]
PerPoint = Tensor  # [n]
Paths = Tensor  # [stops, n, d]
Time = Tensor | float  # scalar; where said so, one time a point [n]


def check_points(x: object, dim: int | None = None, name: str = "x") -> Points:
    """Return ``x`` if it is a finite floating tensor of shape (n, dim) with n > 0.

    Raises:
        InputError: otherwise; the message names the argument, what was found, and the mend.
    """
    if not isinstance(x, Tensor):
        raise InputError(f"{name} is a {type(x).__name__}, expected a torch.Tensor: wrap it in torch.as_tensor")
    if not x.is_floating_point():
        raise InputError(f"{name} has dtype {x.dtype}, expected a floating dtype: call {name}.float()")
    wanted = f"(n, {dim})" if dim is not None else "(n, d)"
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        raise InputError(f"{name} has shape {tuple(x.shape)}, expected {wanted}: one row per point")
    if len(x) == 0:
        raise InputError(f"{name} is empty, expected at least one point of shape {wanted}")
    bad = ~torch.isfinite(x).all(1)
    if bad.any():
        raise InputError(
            f"{name} has {int(bad.sum())} of {len(x)} rows that are NaN or infinite, "
            f"the first is row {int(bad.nonzero()[0])}: remove or repair them"
        )
    return x
