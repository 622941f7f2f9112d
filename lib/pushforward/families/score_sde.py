"""ScoreSDE: the variance preserving interpolation flow, trained by the evidence bound of its diffusion."""

from dataclasses import dataclass
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.families.interpolation import MARGIN, Interpolation
from pushforward.flows import ODEBijection
from pushforward.interpolation import schedules
from pushforward.objectives import EvidenceObjective, Objective
from pushforward.objectives.evidence import check_range


@dataclass(frozen=True)
class ScoreSDE(Interpolation):
    """Settings of ScoreSDE: those of ``Interpolation``, with other defaults and the loss ``EvidenceObjective``.

    The flow is the probability-flow ODE, dy = −½ β (y + s) dτ, with its exact divergence: what ``Interpolation`` makes
    of a noise prediction under a variance preserving schedule. Source: Huang et al. (arXiv 2106.02808), and the
    baseline of JKO-iFlow (arXiv 2212.14424), whose Tables A.3 and A.4 vary ``schedule``.

    Args:
        schedule: ``vp-<rate>-<maximum>`` with rate linear, quadratic or constant (``interpolation.noise_rates``), or
            another one with a² + b² = 1.
        prediction: what the network predicts; the loss is the bound for all of them.

    The other settings are those of ``Interpolation``; coupling and emphasis have no place in the bound.

    Raises:
        InputError: a setting out of its range, an unknown name, or a schedule that does not preserve the variance.
    """

    schedule: str = "vp-linear-20"
    prediction: str = "noise"

    name: ClassVar[str] = "score-sde"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coupling != "independent" or self.emphasis is not None:
            raise InputError(
                f"coupling={self.coupling!r}, emphasis={self.emphasis}: expected 'independent' and None, "
                "for the evidence bound decides how noise and times are drawn"
            )
        check_range(schedules.by_name(self.schedule), *self.times())

    def times(self) -> tuple[float, float]:
        """t_min and t_max of training and of the flow: the bound is infinite at both ends, whatever the prediction."""
        schedule = schedules.by_name(self.schedule)
        last = min(schedule.t_max, 1 - MARGIN) if self.t_max is None else self.t_max
        return (MARGIN if schedule.b0 == 0 else 0.0), last

    def objective(self, ode: ODEBijection) -> Objective:
        """The evidence bound."""
        return EvidenceObjective(ode.velocity, *self.times(), self.antithetic)
