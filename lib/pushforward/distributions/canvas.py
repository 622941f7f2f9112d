"""A white sheet for anti-aliased black strokes, in numpy alone: the same picture wherever it is drawn."""

import numpy as np

Curve = np.ndarray  # [m, 2] points (x, y), in pixels from the centre of the sheet, y upwards


class Canvas:
    """Strokes and white patches, later ones over earlier ones."""

    def __init__(self, height: int, width: int) -> None:
        self._ink = np.zeros((height, width))
        self._x = np.arange(width) - (width - 1) / 2
        self._y = (height - 1) / 2 - np.arange(height)

    def stroke(self, curve: Curve, width: float | np.ndarray) -> None:
        """A line of round segments through the points; ``width`` in pixels, one number or one per point [m]."""
        curve = np.asarray(curve, dtype=float)
        radius = np.broadcast_to(np.asarray(width, dtype=float) / 2, len(curve))
        for start, stop, r0, r1 in zip(curve[:-1], curve[1:], radius[:-1], radius[1:], strict=True):
            self._segment(start, stop, r0, r1)

    def erase(self, outline: Curve) -> None:
        """White inside the closed polygon through the points (even-odd rule); what lay there is hidden."""
        outline = np.asarray(outline, dtype=float)
        rows, columns = self._window(outline, 0.0)
        x, y = self._x[columns][None, :], self._y[rows][:, None]
        inside = np.zeros((y.shape[0], x.shape[1]), dtype=bool)
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        self._ink[rows, columns][inside] = 0.0

    def picture(self) -> np.ndarray:
        """Grey values [height, width], uint8: 255 is paper, 0 is ink."""
        return np.round(255 * (1 - self._ink)).astype(np.uint8)

    def _segment(self, start: np.ndarray, stop: np.ndarray, r0: float, r1: float) -> None:
        """Ink of one segment: full within its radius, fading over one pixel at the edge."""
        rows, columns = self._window(np.stack([start, stop]), max(r0, r1) + 1)
        x, y = self._x[columns][None, :] - start[0], self._y[rows][:, None] - start[1]
        along = stop - start
        length2 = float(along @ along)
        place = np.clip((x * along[0] + y * along[1]) / length2, 0, 1) if length2 > 0 else np.zeros(np.shape(x + y))
        distance = np.hypot(x - place * along[0], y - place * along[1])
        coverage = np.clip(r0 + place * (r1 - r0) + 0.5 - distance, 0, 1)
        np.maximum(self._ink[rows, columns], coverage, out=self._ink[rows, columns])

    def _window(self, points: np.ndarray, margin: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels within ``margin`` of the points' bounding box."""
        (left, bottom), (right, top) = points.min(0) - margin, points.max(0) + margin
        rows = slice(*np.searchsorted(-self._y, [-top, -bottom]))
        columns = slice(*np.searchsorted(self._x, [left, right]))
        return rows, columns
