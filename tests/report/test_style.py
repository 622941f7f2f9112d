import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pushforward.errors import InputError
from pushforward.report import savefig, style


def figure(points: int = 10) -> Figure:
    fig = Figure(figsize=(3, 2))
    x = np.random.default_rng(0).normal(size=(2, points))
    fig.add_subplot().scatter(*x, color=style.colour("jko"))
    return fig


def test_the_same_figure_is_the_same_file(checkout):
    folder = checkout / "results/smoke/figures"
    savefig(figure(), "01-a", "smoke", caption="What to see: é")
    first = [(folder / f"01-a.{kind}").read_bytes() for kind in ("png", "pdf")]
    savefig(figure(), "01-a", "smoke", caption="What to see: é")
    assert [(folder / f"01-a.{kind}").read_bytes() for kind in ("png", "pdf")] == first
    assert b"Date" not in first[1] and b"Software" not in first[0]  # both saves may fall into one second
    with Image.open(folder / "01-a.png") as image:
        assert image.size == (450, 300)  # 3 by 2 inches at 150 dpi
        assert image.info["Description"] == "What to see: é"


def test_a_large_cloud_is_pixels_in_the_pdf(checkout):
    savefig(figure(50_000), "01-a", "smoke")
    assert (checkout / "results/smoke/figures/01-a.pdf").stat().st_size < 200_000


def test_a_malformed_name_is_refused(checkout):
    with pytest.raises(InputError, match="is no name"):
        savefig(figure(), "rose", "smoke")


def test_families_have_their_own_colours():
    assert len(set(style.COLOURS.values())) == len(style.COLOURS)
    with pytest.raises(KeyError):
        style.colour("unknown")


def test_use_sets_the_sheet():
    with mpl.rc_context():
        style.use()
        assert mpl.rcParams["savefig.dpi"] == 150
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"][0] == style.colour("jko")


def test_equal_axes_takes_one_panel_or_a_grid():
    axes = Figure().subplots(2, 2)
    style.equal_axes(axes, 4)
    assert all(ax.get_xlim() == ax.get_ylim() == (-4, 4) and ax.get_aspect() == 1 for ax in axes.flat)
    style.equal_axes(axes[0, 0], (0, 1, 2, 3))
    assert axes[0, 0].get_xlim() == (0, 1) and axes[0, 0].get_ylim() == (2, 3)
