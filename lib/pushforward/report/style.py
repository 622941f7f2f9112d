"""One style for every figure: a colour per family, data black, latent grey, equal axes across panels."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pushforward import paths
from pushforward.files import write_atomic
from pushforward.report.provenance import check_name

# Distinct in lightness too, so that they stay apart in grey print and for colour-blind readers.
COLOURS = {
    "jko": "#2563a8",
    "interpolation": "#d1701c",
    "implicit": "#2a8c6a",
    "flow-maps": "#a3447f",
    "baseline": "#8a6d3b",
    "data": "#111111",
    "latent": "#8b8f98",
}
DENSITY = "magma"
MANY = 2000  # points from which a PDF holds a cloud as pixels: as vectors it would be megabytes

_SHEET = {
    "figure.dpi": 80,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e6ea",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "image.cmap": DENSITY,
    "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values())),
}


def use() -> None:
    """Set the style for every figure that follows."""
    mpl.rcParams.update(_SHEET)


def colour(family: str) -> str:
    """The colour of a family, of ``data`` or of ``latent``."""
    return COLOURS[family]


def equal_axes(axes: Axes | Iterable[Axes], extent: float | Sequence[float]) -> None:
    """Same square window in every panel: ``extent`` is a half width, or (left, right, bottom, top)."""
    left, right, bottom, top = (-extent, extent, -extent, extent) if isinstance(extent, int | float) else extent
    for ax in [axes] if isinstance(axes, Axes) else _flat(axes):
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def savefig(fig: Figure, name: str, profile: str, caption: str = "") -> None:
    """Write ``results/<profile>/figures/<name>.png`` (150 dpi, the caption inside) and ``.pdf``, byte for byte stable.

    Args:
        name: ``<notebook number>-<words>``, which puts the figure into the notebook's section of the page.
        caption: what to see, not what is drawn; the page shows it.

    Raises:
        InputError: a name of another form.
    """
    folder = paths.results(profile) / "figures"
    check_name(name)
    for artist in (a for ax in fig.axes for a in ax.collections):
        artist.set_rasterized(len(artist.get_offsets()) > MANY)
    # without dates and program versions in them the same figure is the same file
    _write(fig, folder / f"{name}.png", {"Software": None, "Description": caption})
    _write(fig, folder / f"{name}.pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def _write(fig: Figure, path: Path, metadata: dict[str, str | None]) -> None:
    content = io.BytesIO()
    fig.savefig(content, format=path.suffix[1:], dpi=150, metadata=metadata)
    write_atomic(path, content.getvalue())


def _flat(axes: Iterable) -> Iterable[Axes]:
    for item in axes:
        yield from [item] if isinstance(item, Axes) else _flat(item)
