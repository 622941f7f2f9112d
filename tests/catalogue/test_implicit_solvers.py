"""The solver study against closed forms, and against solvers that fail or lie."""

import math
from dataclasses import replace

import pytest
import torch

from cases import normal
from pushforward.catalogue import implicit_solvers
from pushforward.catalogue.implicit_maps import rotation
from pushforward.catalogue.implicit_solvers import SolverStudy, cost
from pushforward.errors import InputError
from pushforward.implicit import SOLVERS, FixedPoint
from pushforward.report.results import Recorder


@pytest.fixture(scope="module")
def study():
    return SolverStudy([2, 5], [0.5, 0.9], 4)


@pytest.mark.parametrize("kappa", [0.5, 0.9])
def test_the_fixed_point_needs_the_steps_of_the_closed_form(kappa):
    """On a rotation ‖F‖ shrinks by κ a step, from κ‖b‖ at z = b to tol (1 − κ) max(1, ‖z‖)."""
    dim, rows = 6, 7
    found = cost("fixed-point", "rotation", dim, kappa, rows)
    draws = torch.randn(rows, dim, generator=implicit_solvers.stream(0, f"study/roots/{dim}"), dtype=torch.float64)
    root = draws / math.sqrt(dim)
    right = root + rotation(dim, kappa)(root)
    target = implicit_solvers.TOL * (1 - kappa) * root.norm(dim=1).clamp_min(1)
    steps = (torch.log(target / (kappa * right.norm(dim=1))) / math.log(kappa)).ceil()
    assert found.iterations == pytest.approx(float(steps.mean()), abs=0.5)
    assert found.fallbacks == 0 and found.unconverged == 0


def test_newton_solves_a_linear_map_in_one_step():
    found = cost("newton", "rotation", 5, 0.9, 3)
    assert (found.iterations, found.unconverged) == (1.0, 0) and found.error < 1e-13


@pytest.mark.parametrize("map", implicit_solvers.MAPS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_finds_the_known_roots(solver, map):
    found = cost(solver, map, 4, 0.9, 5)
    assert found.error <= found.bound + 1e-13 and found.bound <= implicit_solvers.TOL
    assert found.unconverged == 0 and found.seconds > 0


def test_newton_ends_where_its_jacobian_does():
    dims = {c.dim for c in SolverStudy([2, 65], [0.5], 1).costs if c.solver == "newton"}
    assert dims == {2}


def test_a_study_holds_prints_and_records(study, capsys):
    study.check()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * len(SOLVERS) and all(line.startswith("ok: ") for line in lines)
    record = Recorder("07-implicit-flows", "smoke")
    study.record(record, "run")
    rows = {row.id: row for row in record.rows}
    assert len(rows) == len(SOLVERS) * (2 * 2 + 2)
    (hardest,) = (c for c in study.costs if (c.solver, c.map, c.dim, c.kappa) == ("anderson", "network", 5, 0.9))
    assert rows["implicit/solver-anderson/d-5/iterations"].value == hardest.iterations
    assert rows["implicit/solver-anderson/d-5/seconds"].value == hardest.seconds
    assert {rows[f"implicit/solver-{name}/all/unconverged"].verdict for name in SOLVERS} == {"holds"}
    assert rows["implicit/solver-newton/all/error"].verdict == "holds"


def test_table_and_curves_have_all_costs(study):
    table, curves = study.table(), study.curves()
    assert len(table) == len(SOLVERS) * 2 * 2 * 2
    assert list(curves) == ["network, κ = 0.5", "network, κ = 0.9", "rotation, κ = 0.5", "rotation, κ = 0.9"]
    for lines in curves.values():
        assert list(lines) == list(SOLVERS) and all(rows[:, 0].tolist() == [2, 5] for rows in lines.values())
    row = next(r for r in table if (r["solver"], r["map"], r["κ"], r["d"]) == ("broyden", "rotation", 0.9, 5))
    assert curves["rotation, κ = 0.9"]["broyden"][1].tolist() == [5, row["iterations"], row["ms"]]


class Idle:
    """Stays where it starts, and says so."""

    def __call__(self, residual, start, kappa, tol):
        return FixedPoint(max_iterations=0)(residual, start, kappa, tol)


class Liar:
    """Stays where it starts, and certifies that as the root."""

    def __call__(self, residual, start, kappa, tol):
        found = Idle()(residual, start, kappa, tol)
        return replace(found, bound=0 * found.bound, converged=torch.ones_like(found.converged))


@pytest.mark.parametrize(("solver", "message"), [(Idle, "without a certified root"), (Liar, "distance to the root")])
def test_a_solver_that_fails_or_lies_is_found(solver, message, monkeypatch):
    monkeypatch.setitem(SOLVERS, "anderson", solver)
    study = SolverStudy([2], [0.9], 3)
    with pytest.raises(AssertionError, match=f"anderson: .*{message}"):
        study.check()
    record = Recorder("07-implicit-flows", "smoke")
    study.record(record, "run")
    failed = {row.id for row in record.rows if row.verdict == "fails"}
    assert "implicit/solver-anderson/all/error" in failed and all("anderson" in id for id in failed)


def test_the_fastest_of_three_turns_counts_unless_one_is_long(monkeypatch):
    calls = []
    solver = FixedPoint()
    monkeypatch.setattr(
        implicit_solvers.time, "process_time", iter([0.0, 3e-3, 1.0, 1.001, 2.0, 2.002, 5.0, 5.5]).__next__
    )
    g, right = rotation(2, 0.5), normal(1, 2)
    counted = lambda *arguments: calls.append(1) or solver(*arguments)  # noqa: E731
    assert implicit_solvers._fastest(counted, g, right, 0.5)[0] == pytest.approx(1e-3)
    assert len(calls) == 3
    assert implicit_solvers._fastest(counted, g, right, 0.5)[0] == pytest.approx(0.5)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SolverStudy([1, 2], [0.5], 3), r"dims is \[1, 2\]"),
        (lambda: SolverStudy([2], [0.5], 0), "rows 0"),
        (lambda: SolverStudy([2], [1.0], 3), r"kappas is \[1.0\]"),
        (lambda: cost("secant", "network", 2, 0.5, 1), "'secant'"),
        (lambda: cost("newton", "map", 2, 0.5, 1), "on 'map'"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
