"""Two pictures of line art, drawn by formulas: a rose and a fractal tree, dark ink on white."""

import numpy as np

from pushforward.distributions.canvas import Canvas, Curve

PEN = 2.0  # width of an outline in pixels
TILT = np.array([1.0, 0.92])  # the flower is seen a little from the side


def rose_picture() -> np.ndarray:
    """A rose with a spiral heart, layered petals, a stem and two leaves: [227, 222] grey values, uint8."""
    canvas = Canvas(227, 222)
    head = np.array([0.0, 34.0])
    _stem(canvas)
    for radius, petals, turn in ((76, 5, 0.31), (58, 5, 0.94), (41, 4, 0.15), (27, 3, 0.75)):
        for k in range(petals):
            _petal(canvas, head, radius, turn + 2 * np.pi * k / petals, 0.66 * 2 * np.pi / petals)
    _heart(canvas, head)
    return canvas.picture()


def _petal(canvas: Canvas, head: np.ndarray, radius: float, angle: float, half_angle: float) -> None:
    """One petal about ``angle``: a rounded rim that leans forward, and the lip rolled over it."""
    s = np.linspace(-1, 1, 61)
    edge = radius * (1 - 0.3 * np.abs(s + 0.08) ** 3)
    rim = head + TILT * _polar(edge, angle + half_angle * s)
    canvas.erase(np.concatenate([head[None], rim]))
    canvas.stroke(rim, PEN)
    lip = head + TILT * _polar(edge - 0.15 * radius * (1 - s**2) * (1 + 0.5 * s), angle + half_angle * s)
    canvas.stroke(lip[8:-8], 0.8 * PEN)


def _heart(canvas: Canvas, head: np.ndarray) -> None:
    """The bud: a spiral over its own white ground."""
    t = np.linspace(0, 1, 120)
    canvas.erase(head + TILT * _polar(15.0, 2 * np.pi * t))
    canvas.stroke(head + TILT * _polar(15 * t**0.9, 0.5 + 5 * np.pi * t), 0.8 * PEN)


def _stem(canvas: Canvas) -> None:
    """A double line from under the flower to the foot, and a leaf on either side."""
    t = np.linspace(0, 1, 40)
    stem = np.stack([6 * np.sin(2.2 * t), -20 - 90 * t], 1)
    for side in (-2.5, 2.5):
        canvas.stroke(stem + [side, 0], PEN)
    _leaf(canvas, stem[16], 0.45, 70)
    _leaf(canvas, stem[26], np.pi - 0.4, 70)


def _leaf(canvas: Canvas, root: np.ndarray, angle: float, length: float) -> None:
    """A pointed leaf with its midrib and three pairs of veins."""
    t = np.linspace(0, 1, 41)
    half = 0.24 * length * np.sin(np.pi * t**0.8)
    axis, across = _polar(1.0, angle), _polar(1.0, angle + np.pi / 2)
    upper, lower = (root + length * t[:, None] * axis + side * half[:, None] * across for side in (1, -1))
    outline = np.concatenate([upper, lower[::-1]])
    canvas.erase(outline)
    canvas.stroke(outline, PEN)
    canvas.stroke(np.stack([root, root + 0.9 * length * axis]), 0.8 * PEN)
    for k in (9, 17, 25):
        base = root + length * t[k] * axis
        for side in (upper, lower):
            canvas.stroke(np.stack([base, base + 0.8 * (side[k + 6] - base)]), 0.6 * PEN)


def fractal_tree_picture() -> np.ndarray:
    """A branching tree, eight generations of forks: [256, 256] grey values, uint8."""
    canvas = Canvas(256, 256)
    _branch(canvas, np.array([-3.0, -117.0]), np.pi / 2, 57.0, 6.5, 8)
    return canvas.picture()


def _branch(canvas: Canvas, root: np.ndarray, angle: float, length: float, width: float, generations: int) -> None:
    """One branch and all that grows on it; each fork turns a little more to the left than to the right."""
    tip = root + _polar(length, angle)
    canvas.stroke(np.stack([root, tip]), np.array([width, 0.74 * width]))
    if generations:
        for turn, ratio in ((0.4, 0.755), (-0.36, 0.78)):
            _branch(canvas, tip, angle + turn, ratio * length, max(2.0, 0.74 * width), generations - 1)


def _polar(radius: float | np.ndarray, angle: float | np.ndarray) -> Curve:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
