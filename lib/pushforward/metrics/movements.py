"""How far each block of a flow moves points, and how evenly the way is shared out."""

import math
import statistics
from collections.abc import Sequence

import torch

from pushforward.errors import InputError
from pushforward.flows import Chain, Flow, ODEBijection
from pushforward.metrics.geometry import movement
from pushforward.shapes import Points, check_points


@torch.no_grad()
def block_distances(flow: Flow, x: Points, batch: int = 20_000) -> list[float]:
    """S_k = (mean |x_k − x_{k−1}|²)^½ of every ODE block k on the points x [n, d], a plug-in for W2(p_{k−1}, p_k).

    It is the root of ``movement``. Preconditioners are passed through and not counted. Held-out points x show how far
    the law moves, not the training set. Source: xu2023 §4.2.

    Raises:
        InputError: x is not a finite floating tensor (n, d) of the flow's dimension.
    """
    x = check_points(x, flow.dim)
    found = []
    for block in flow.bijection.blocks if isinstance(flow.bijection, Chain) else [flow.bijection]:
        y = torch.cat([block(part) for part in x.split(batch)])
        if isinstance(block, ODEBijection):
            found.append(math.sqrt(movement(x, y)))
        x = y
    return found


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: standard deviation over mean, 0 where all values are the same.

    Raises:
        InputError: no value, or a mean that is not positive.
    """
    if not values or not statistics.fmean(values) > 0:
        raise InputError(f"the values are {list(values)}, expected some with a positive mean")
    return statistics.pstdev(values) / statistics.fmean(values)
