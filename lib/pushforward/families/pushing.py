"""Points pushed through frozen bijections, in pieces: the memory of a push is that of one piece."""

import math

import torch

from pushforward.errors import NonFinite
from pushforward.flows import Bijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

PIECE = 20_000


def some(x: Points, count: int, purpose: str) -> Points:
    """x [n, d] itself, or ``count`` of its rows, drawn from a stream of their own: sets may be ordered, as in time."""
    if len(x) <= count:
        return x
    return x[torch.randperm(len(x), generator=stream(0, purpose))[:count].to(x.device)]


@torch.no_grad()
def push(bijection: Bijection, x: Points) -> Points:
    """z [n, d] of x [n, d]."""
    return torch.cat([bijection(part) for part in x.split(PIECE)])


@torch.no_grad()
def push_with_log_det(bijection: Bijection, x: Points) -> tuple[Points, PerPoint]:
    """z [n, d] and log |det dz/dx| [n]."""
    pieces = [bijection.forward_and_log_det(part) for part in x.split(PIECE)]
    return torch.cat([z for z, _ in pieces]), torch.cat([log_det for _, log_det in pieces])


def nll(z: Points, log_det: PerPoint | float, target: Bijection | None = None) -> float:
    """Mean −log p in nats of points that a flow takes to z [n, d] with log_det [n], and ``target`` from there on.

    Raises:
        NonFinite: it is NaN or infinite.
    """
    if target is not None:
        z, more = push_with_log_det(target, z)
        log_det = log_det + more
    value = float(-(standard_normal_log_prob(z) + log_det).mean())
    if not math.isfinite(value):
        raise NonFinite(
            f"the validation NLL is {value}, expected a finite number: lower the learning rate, clip gradients, or "
            "check the data for outliers"
        )
    return value
