"""Every YAML file loads, and its notebook takes it."""

from pathlib import Path

import pytest

from pushforward.catalogue.implicit_real import equal
from pushforward.catalogue.settings import family
from pushforward.families import JKO, Implicit
from pushforward.run import parameters, settings

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
FILES = sorted((FOLDER / "params").glob("*/*"))


def test_there_are_files():
    assert FILES, "no run in notebooks/params"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_its_notebook_takes_it(path):
    assert path.suffix == ".yml", "make and this test look for *.yml"
    assert path.parent.name in {"smoke", "quick", "paper"}
    known = parameters(FOLDER / f"{path.stem.split('--')[0]}.ipynb")
    given = {**known, **settings(path, known)}
    assert given["profile"] == path.parent.name, "its results would land in another profile's folder"


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_the_jko_flows_of_notebook_06_are_those_of_01(profile):
    """Otherwise 06 would train its own, and compare with numbers that stand nowhere else."""
    first, sixth = (
        settings(FOLDER / "params" / profile / f"{name}.yml", parameters(FOLDER / f"{name}.ipynb"))
        for name in ("01-jko-2d", "06-interpolation-learned")
    )
    assert sixth["jko_settings"]
    for case, chosen in sixth["jko_settings"].items():
        theirs = {**first["settings"], **first["overrides"].get(case, {})}
        assert family(JKO, chosen) == family(JKO, theirs)


@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("part", ["tabular", "images"])
def test_the_flows_of_notebook_08_are_families_of_equal_size(part, profile):
    """An implicit block has two networks, so half as many blocks have as many parameters."""
    name = "08-implicit-flows-real-data"
    known = parameters(FOLDER / f"{name}.ipynb")
    given = {**known, **settings(FOLDER / "params" / profile / f"{name}.yml", known)}[part]
    assert given
    for chosen in given.values():
        pair = {m: family(Implicit, s) for m, s in equal(chosen["settings"], chosen["methods"]).items()}
        assert pair["resflow"].blocks == 2 * pair["impflow"].blocks
        assert pair["resflow"].net == pair["impflow"].net
        assert pair["resflow"].fit.iterations >= pair["impflow"].fit.iterations
