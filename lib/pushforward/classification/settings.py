"""What a classifier is and how it is trained, as a YAML file holds it."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.fit import FitConfig
from pushforward.implicit.lipschitz import check_coeff
from pushforward.implicit.parts import build_part

METHODS = ("impflow", "resflow", "vanilla")
CIFAR = ((64, 64), (64, 128), (128, 256), (256, 512))


@dataclass(frozen=True)
class Classifier:
    """Settings of a classifier whose stages are one implicit block, two residual blocks, or two without any bound.

    The defaults are the network of the paper for CIFAR, with 6.5 million parameters (arXiv 2103.09527, section 5.1).

    Args:
        method: ``impflow``, ``resflow``, or ``vanilla``: batch normalisation within the blocks, no spectral norms.
        coeff: c in (0, 1), the bound of one convolution of a block, so that κ ≤ c². ``vanilla`` has none.
        stages: channels of the images and channels within the block, a pair a stage. From the second stage on a 1 × 1
            convolution of stride 2 takes the former to the latter, where the next stage begins.
        stem_stride: 2 halves the images before the first stage.
        solver: ``{"kind": ...}`` of ``implicit.SOLVERS`` for the implicit blocks; None: Broyden.
        norm_iterations: power iterations after each optimiser step, warm-started, at most; they stop at ``tolerance``.
        norm_tolerance: how far the singular vectors may still move in one of them.
        crop: images are shifted at random by up to so many pixels, zeros coming in.
        flip: images are mirrored at random.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, an unknown name, or stages that do not join.
    """

    method: str = "impflow"
    coeff: float = 0.9
    stages: tuple[tuple[int, int], ...] = CIFAR
    stem_stride: int = 1
    solver: dict | None = None
    norm_iterations: int = 20
    norm_tolerance: float = 1e-3
    crop: int = 0
    flip: bool = False
    fit: FitConfig = field(default_factory=FitConfig)

    name: ClassVar[str] = "classifier"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another network

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method {self.method!r} is unknown, expected one of {', '.join(METHODS)}")
        check_coeff(self.coeff)
        if self.norm_iterations < 1 or not self.norm_tolerance > 0:
            raise InputError(
                f"norm_iterations={self.norm_iterations}, norm_tolerance={self.norm_tolerance}: expected an iteration "
                "and a positive tolerance"
            )
        if self.crop < 0 or self.stem_stride < 1:
            raise InputError(
                f"crop={self.crop}, stem_stride={self.stem_stride}: expected 0 or more pixels, a stride of 1 or more"
            )
        if self.solver is not None:
            build_part(self.solver)
        object.__setattr__(self, "stages", tuple(map(tuple, self.stages)))  # lists, as a YAML file has them
        _check_stages(self.stages)


def _check_stages(stages: tuple[tuple[int, ...], ...]) -> None:
    if not stages or not all(len(stage) == 2 and min(stage) >= 1 for stage in stages):
        raise InputError(f"stages are {stages}, expected one or more pairs of channels such as (64, 128)")
    arriving = [stages[0][0], stages[0][0], *(width for _, width in stages[1:])]
    for index, ((channels, _), there) in enumerate(zip(stages, arriving, strict=False)):
        if channels != there:
            raise InputError(f"stage {index} begins with {channels} channels, expected {there}, those before it")
