"""Gaussian interpolation flows, learned: one regression, no simulation in training (arXiv 2311.11475)."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pushforward.errors import InputError
from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.fit import FitConfig
from pushforward.flows import Affine, Chain, ODEBijection
from pushforward.interpolation import PREDICTIONS, InterpolationVelocity, schedules
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.objectives import COUPLINGS, MatchingObjective, Objective
from pushforward.shapes import Points

LATTICE_EMPHASIS = 3.0
LATTICE_FIT = FitConfig(iterations=2000, batch=2000, lr=0.02, betas=(0.9, 0.99))
NETWORK_FIT = FitConfig(iterations=3000, batch=512, lr=2e-3, ema=0.999)
TIMED = ("mlp", "time-lattice")  # networks that see the time
MARGIN = 0.001  # how far t stays from an end at which a prediction divides by a or b


@dataclass(frozen=True)
class Interpolation(EndToEnd):
    """Settings of a learned Gaussian interpolation flow. The defaults suit the data: ``None`` chooses by dimension.

    The flow is the preconditioners, then the ODE from t_max back to t_min, then, where a schedule does not start from
    N(0, I), the whitening of its source law, which is Gaussian up to the share of the data in it.

    Args:
        schedule: a name of ``pushforward.interpolation.SCHEDULES``.
        prediction: what the network predicts: ``angle``, ``velocity``, ``denoiser`` or ``noise``.
        net: ``{"kind": ..., ...}``, the arguments of a class in ``pushforward.nets`` that depends on time; None: a
            time-dependent lattice for angles in the plane, an MLP elsewhere. A lattice is 0 beyond its square, which
            only for ``angle`` is a good guess there.
        coupling: of noise and data in a minibatch, ``independent`` or ``optimal-transport``.
        antithetic: show each point with z and with −z.
        emphasis: 1 − t is this power of a uniform draw: above 1, training looks more often near the data. None:
            3 for a lattice, which learns details as fine as the noise level there; 1 for networks.
        precondition: exact bijections fitted first, of ``affine`` (whitening), ``radial`` and, for values in [0, 1],
            ``logit``.
        t_max: None: 1 for ``angle``, whose target is bounded; else that of the schedule, and at most 0.999 where the
            prediction divides by a.
        steps: of the fixed RK4 grid that samples and measures likelihood; 0: dopri5 at ``tolerance``.
        tolerance: relative and absolute, of the adaptive solver.
        pool: training points drawn from a law, or the first of a data set's.
        fit: the optimiser's settings; None: ``LATTICE_FIT`` or ``NETWORK_FIT``.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    schedule: str = "trigonometric"
    prediction: str = "angle"
    net: dict | None = None
    coupling: str = "independent"
    antithetic: bool = True
    emphasis: float | None = None
    precondition: tuple[str, ...] = ("affine",)
    t_max: float | None = None
    steps: int = 0
    tolerance: float = 1e-5
    pool: int = 300_000
    fit: FitConfig | None = None

    name: ClassVar[str] = "interpolation"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow
    stage: ClassVar[str] = "velocity"
    held_out: ClassVar[int] = 2000  # an adaptive solve with its divergence costs as much as many iterations

    def __post_init__(self) -> None:
        super().__post_init__()
        schedules.by_name(self.schedule)
        if self.prediction not in PREDICTIONS:
            raise InputError(f"prediction {self.prediction!r} is unknown, expected one of {sorted(PREDICTIONS)}")
        if self.coupling not in COUPLINGS:
            raise InputError(f"coupling {self.coupling!r} is unknown, expected one of {sorted(COUPLINGS)}")
        if self.coupling != "independent" and schedules.by_name(self.schedule).b0 > 0:
            raise InputError(
                f"coupling {self.coupling!r} changes the source law of schedule {self.schedule!r}, which holds data: "
                "expected 'independent', or a schedule that starts from noise alone"
            )
        if self.net is not None and (not isinstance(self.net, dict) or self.net.get("kind") not in TIMED):
            raise InputError(f"net is {self.net!r}, expected None or a dict whose kind is one of {TIMED}")
        if self.t_max is not None and not 0 < self.t_max <= 1:
            raise InputError(f"t_max is {self.t_max}, expected a time in (0, 1]")
        if self.steps < 0 or not self.tolerance > 0:
            raise InputError(
                f"steps={self.steps}, tolerance={self.tolerance}: expected steps >= 0, a tolerance above 0"
            )
        if self.emphasis is not None and not self.emphasis > 0:
            raise InputError(f"emphasis is {self.emphasis}, expected a positive power (1: uniform times)")

    def fingerprint(self) -> list[float]:
        """a² and b at nine times, so that a schedule registered anew under an old name is another question."""
        schedule, t = schedules.by_name(self.schedule), torch.linspace(0, 1, 9, dtype=torch.float64)
        return [round(value, 9) for value in [*schedule.a2(t).tolist(), *schedule.b(t).tolist()]]

    def times(self) -> tuple[float, float]:
        """t_min and t_max of training and of the flow."""
        schedule = schedules.by_name(self.schedule)
        cut = min(schedule.t_max, 1 - MARGIN)
        last = {"angle": 1.0, "velocity": schedule.t_max, "denoiser": cut, "noise": cut}[self.prediction]
        first = MARGIN if self.prediction == "noise" and schedule.b0 == 0 else 0.0
        return first, last if self.t_max is None else self.t_max

    def ode(self, dim: int) -> ODEBijection:
        """The flow's ODE before training; the random weights come from torch's global stream."""
        kind, arguments = self._net(dim)
        try:
            net = NETS[kind](dim=dim, **arguments)
        except TypeError as error:
            raise InputError(f"net {self.net} has a setting that {kind!r} does not know: {error}") from error
        velocity = InterpolationVelocity(net, schedules.by_name(self.schedule), self.prediction)
        solver = FixedGrid(self.steps, "rk4") if self.steps else Adaptive(self.tolerance, self.tolerance)
        first, last = self.times()
        return ODEBijection(velocity, solver, "trace", t_data=last, t_latent=first)

    def _net(self, dim: int) -> tuple[str, dict]:
        arguments = dict(self.net or {"kind": "mlp", "widths": (256, 256), "activation": "silu"})
        if self.net is None and dim == 2 and self.prediction == "angle":
            arguments = {"kind": "time-lattice"}
        kind = arguments.pop("kind")
        return kind, {**arguments, "time": True} if kind == "mlp" else arguments

    def objective(self, ode: ODEBijection) -> Objective:
        """What training minimises over the velocity of ``ode``: the regression; a subclass may ask for another loss."""
        first, last = self.times()
        emphasis = self.emphasis or (LATTICE_EMPHASIS if self._net(ode.dim)[0] == "time-lattice" else 1.0)
        return MatchingObjective(ode.velocity, first, last, self.coupling, self.antithetic, emphasis)

    def config(self, dim: int) -> FitConfig:
        """The optimiser's settings, or those that suit the network."""
        return self.fit or (LATTICE_FIT if self._net(dim)[0] == "time-lattice" else NETWORK_FIT)

    def whole(self, x: Points) -> Whole:
        """The velocity; the flow ends with the whitening of the source law."""
        ode = self.ode(x.shape[1])
        return Whole(ode, Chain(ode.dim, [ode, *self._source(x)]), self.objective(ode), 1 + self.antithetic)

    def _source(self, x: Points) -> list[Affine]:
        """Whitens the source law a Z + b X_1 of data x [n, d], by its moments; nothing where it is N(0, I)."""
        schedule, first = schedules.by_name(self.schedule), self.times()[0]
        a2, b = float(schedule.a2(first)), float(schedule.b(first))
        if (a2, b) == (1.0, 0.0):
            return []
        exact = x.double()
        covariance = torch.cov(exact.T, correction=0).reshape(x.shape[1], x.shape[1])
        noise = a2 * torch.eye(x.shape[1]).to(covariance)
        return [Affine.from_moments(b * exact.mean(0), noise + b**2 * covariance).to(x)]
