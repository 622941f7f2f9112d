"""Laws with exact log-densities and known entropies, by name."""

from collections.abc import Callable
from functools import lru_cache

from pushforward.distributions.base import Distribution, Entropy
from pushforward.distributions.drawings import fractal_tree_picture, rose_picture
from pushforward.distributions.gaussian_mixture import GaussianMixture, standard_normal
from pushforward.distributions.image import ImageDensity
from pushforward.distributions.planar import (
    Checkerboard,
    eight_gaussians,
    moons,
    pinwheel,
    rings,
    swiss_roll,
    two_spirals,
)
from pushforward.distributions.ramping import RampingSeries
from pushforward.errors import InputError

__all__ = [
    "Distribution",
    "Entropy",
    "GaussianMixture",
    "ImageDensity",
    "RampingSeries",
    "by_name",
    "checkerboard",
    "eight_gaussians",
    "fractal_tree",
    "moons",
    "names",
    "pinwheel",
    "rings",
    "rose",
    "standard_normal",
    "swiss_roll",
    "two_spirals",
]


@lru_cache
def rose() -> ImageDensity:
    """The law of our own line drawing of a rose, 227 × 222 pixels."""
    return ImageDensity.from_image(rose_picture(), "rose")


@lru_cache
def fractal_tree() -> ImageDensity:
    """The law of our own line drawing of a branching tree, 256 × 256 pixels."""
    return ImageDensity.from_image(fractal_tree_picture(), "fractal-tree")


def checkerboard() -> Checkerboard:
    """Uniform on 8 of the 16 squares of [−4, 4]²; entropy log 32."""
    return Checkerboard()


_PLANAR: dict[str, Callable[[], Distribution]] = {
    "rose": rose,
    "fractal-tree": fractal_tree,
    "checkerboard": checkerboard,
    "8-gaussians": eight_gaussians,
    "rings": rings,
    "two-spirals": two_spirals,
    "moons": moons,
    "pinwheel": pinwheel,
    "swiss-roll": swiss_roll,
}


def names() -> list[str]:
    """The names that ``by_name`` knows, as they stand in result ids."""
    return list(_PLANAR)


def by_name(name: str) -> Distribution:
    """The planar law of that name.

    Raises:
        InputError: an unknown name; the message lists the known ones.
    """
    if name not in _PLANAR:
        raise InputError(f"no law is called {name!r}, expected one of: {', '.join(_PLANAR)}")
    return _PLANAR[name]()
