"""The strong baselines of the literature, neural spline flows and masked autoregressive flows, from zuko."""

from collections.abc import Sequence
from functools import partial
from types import ModuleType

from torch.distributions import Distribution

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points

MODELS = ("maf", "nsf")


class ZukoFlow(Bijection):
    """Autoregressive transforms one after the other: z_i = f(x_i; θ(x_1 … x_{i−1})), f affine or a spline.

    The order of the coordinates turns round from transform to transform, or is drawn anew with ``shuffled``. A map and
    its log-determinant cost one pass, the inverse ``passes`` of them. A new flow is not the identity.

    The splines act on [−5, 5] in each coordinate and are the identity outside: whiten the data.
    Sources: MAF (arXiv 1705.07057), neural spline flows (arXiv 1906.04032).

    Args:
        dim: dimension d of the points.
        model: ``nsf`` (rational-quadratic splines) or ``maf`` (affine).
        transforms: how many.
        hidden: hidden widths of each masked network.
        bins: of a spline.
        passes: groups of coordinates that follow one another: 0 is d, fully autoregressive; 2 are coupling layers.
        shuffled: whether the orders are random permutations, from torch's global stream.

    Raises:
        InputError: an unknown model, or a setting out of its range.
    """

    def __init__(
        self,
        dim: int,
        model: str = "nsf",
        transforms: int = 5,
        hidden: Sequence[int] = (64, 64),
        bins: int = 8,
        passes: int = 0,
        shuffled: bool = False,
    ) -> None:
        super().__init__()
        check_settings(model, transforms, hidden, bins, passes)
        self.dim, self.model, self.transforms, self.hidden = dim, model, transforms, tuple(hidden)
        self.bins, self.passes, self.shuffled = bins, passes, shuffled
        flows = _zuko().flows
        make = partial(flows.NSF, bins=bins) if model == "nsf" else flows.MAF
        settings = {"hidden_features": self.hidden, "passes": passes or None, "randperm": shuffled}
        self.inner = make(dim, transforms=transforms, **settings).transform

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {
            "dim": self.dim,
            "model": self.model,
            "transforms": self.transforms,
            "hidden": list(self.hidden),
            "bins": self.bins,
            "passes": self.passes,
            "shuffled": self.shuffled,
        }

    def forward(self, x: Points) -> Points:
        return self.inner()(x)

    def inverse(self, z: Points) -> Points:
        return self.inner().inv(z)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        return self.inner().call_and_ladj(x)


def check_settings(model: str, transforms: int, hidden: Sequence[int], bins: int, passes: int) -> None:
    """Raise InputError where a setting of ``ZukoFlow`` is unknown or out of its range."""
    if model not in MODELS:
        raise InputError(f"the model {model!r} is unknown, expected one of {sorted(MODELS)}")
    if transforms < 1 or not hidden or min(hidden) < 1:
        raise InputError(f"transforms={transforms}, hidden={tuple(hidden)}: expected at least one of each, from 1")
    if bins < 2:
        raise InputError(f"bins is {bins}, expected at least 2")
    if passes < 0 or passes == 1:
        raise InputError(f"passes is {passes}, expected 0 (fully autoregressive) or at least 2 (2: coupling)")


def _zuko() -> ModuleType:
    """zuko; importing it switches off torch's checks of every distribution's arguments, here they are switched back."""
    names = ("_validate_args", "arg_constraints")
    before = {name: Distribution.__dict__[name] for name in names}
    try:
        import zuko
    finally:
        for name, value in before.items():
            setattr(Distribution, name, value)
    return zuko
