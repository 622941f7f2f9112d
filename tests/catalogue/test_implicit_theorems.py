"""The claims hold, their measurements fail on wrong maps, and what is built by hand is what the formulas say."""

import dataclasses
import math

import pytest
import torch

from pushforward.catalogue.implicit_theorems import (
    CLAIMS,
    LineFit,
    Sizes,
    Study,
    constructions,
    distance,
    fit_line,
    line,
    maps,
    pictures,
    roots,
    slopes,
)
from pushforward.errors import InputError
from pushforward.flows import Chain, ImplicitBlock
from pushforward.report.results import Recorder

SMALL = Sizes(nets=2, points=8, starts=3, dims=(1, 2), tolerances=(1e-1, 1e-3, 1e-8))


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path / "results"))


@pytest.fixture(scope="module")
def study():
    return Study(SMALL)


def failing(parts):
    return {part.statement for part in parts if not part.slack >= part.least}


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_holds(study, claim):
    assert study.parts(claim) and not failing(study.parts(claim))


@pytest.mark.parametrize("change", [{"nets": 0}, {"points": 0}, {"dims": ()}, {"dims": (0,)}, {"tolerances": ()}])
def test_sizes_are_checked(change):
    with pytest.raises((InputError, TypeError), match="expected|unpack"):
        Sizes(**change)


# --- the maps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dim", [1, 3])
def test_an_aligned_network_all_but_attains_its_constant_at_the_origin(dim, sign):
    net = maps.aligned_net(dim, 0.9, 5, sign)
    assert net.kappa == pytest.approx(0.9**3, rel=1e-12)
    at_zero = maps.jacobian(net, torch.zeros(1, dim, dtype=torch.float64))[0]
    torch.testing.assert_close(at_zero, sign * 0.9**3 * torch.eye(dim).double(), rtol=0, atol=0.02)


def test_random_networks_differ_with_their_seed_and_leave_torch_s_stream_alone():
    before = torch.random.get_rng_state()
    first, again, other = (maps.random_net(2, 0.9, seed, "lipswish") for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    x = maps.points(3, 2)
    assert torch.equal(first(x), again(x)) and not torch.equal(first(x), other(x))


def test_the_ramp_has_its_slopes_and_their_derivative():
    ramp = maps.Ramp(0.1, 10.0, beta=50.0)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ramp(x).sum(), x)
    torch.testing.assert_close(slope, torch.tensor([ramp.slope(float(v)) for v in x.detach()], dtype=torch.float64))
    assert ramp.slope(-9) == pytest.approx(0.1) and ramp.slope(9) == pytest.approx(10)


@pytest.mark.parametrize("seed", [0, 3])
def test_monotone_maps_keep_their_constants(seed):
    f = maps.Monotone(3, seed)
    j = maps.jacobian(f, maps.points(200, 3))
    assert torch.linalg.eigvalsh((j + j.mT) / 2).min() >= f.monotonicity - 1e-12
    assert torch.linalg.svdvals(j).max() <= f.stretch + 1e-12
    assert not torch.allclose(f.matrix, f.matrix.T)


def test_jacobians_of_blocks_and_chains_are_those_of_their_maps():
    nets = [maps.random_net(2, 0.7, seed) for seed in range(3)]
    chain = Chain(2, [ImplicitBlock(nets[0], nets[1]), ImplicitBlock(g_x=nets[2])]).eval()
    x = maps.points(4, 2)
    wanted = torch.stack([torch.autograd.functional.jacobian(lambda p: chain(p[None])[0], p) for p in x])
    torch.testing.assert_close(maps.chain_jacobian(chain, x), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("m", "stretch"), [(1.0, 1.0), (0.5, 3.0)])
def test_the_contraction_is_least_where_it_is_said_to_be(m, stretch):
    best = m / stretch**2
    assert maps.contraction(best, m, stretch) == pytest.approx(math.sqrt(1 - (m / stretch) ** 2))
    assert all(maps.contraction(best * (1 + e), m, stretch) > maps.contraction(best, m, stretch) for e in (-0.1, 0.1))
    assert maps.contraction(2 * best, m, stretch) == pytest.approx(1)


# --- T1, certificate --------------------------------------------------------------------------------------------------


def test_a_map_with_two_roots_fails_t1(monkeypatch):
    def two_roots(explicit, implicit, x, starts):
        found = torch.zeros(len(x), starts, x.shape[1], dtype=x.dtype)
        found[:, 0] = 1.0
        return found, torch.zeros(len(x), starts, dtype=x.dtype)

    monkeypatch.setattr(roots, "_from_many_starts", two_roots)
    wanted = {"roots from far starts agree", "roots differ by no more than both certificates say"}
    assert failing(roots.one_root(SMALL)) == wanted


def test_a_certificate_that_is_too_small_fails(monkeypatch):
    stops = roots.descent("fixed-point", SMALL)
    assert [stop.tol for stop in stops] == list(SMALL.tolerances)
    assert stops[0].iterations < stops[-1].iterations and stops[0].error.max() > stops[-1].error.max()
    small = [dataclasses.replace(stop, bound=stop.bound / 1e3, unconverged=1) for stop in stops]
    monkeypatch.setattr(roots, "descent", lambda name, sizes: small)
    assert len(failing(roots.certificates(SMALL))) == 2


# --- slopes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "ends"), [("resflow-1", (0.1, 1.9)), ("resflow-2", (0.01, 3.61)), ("impflow", (0.1 / 1.9, 19.0))]
)
def test_intervals_of_slopes(method, ends):
    assert slopes.interval(0.9, method) == pytest.approx(ends)
    found = [float(slopes.extreme(0.9, method, sign)) for sign in (-1, 1)]
    assert found == pytest.approx(ends)


def test_the_note_s_table():
    rows = pictures.settings_table()
    found = [[row[f"{method}, largest"] for method in slopes.METHODS] for row in rows]
    wanted = [[1.97, 3.88, 66.3], [1.95, 3.81, 39.8], [1.73, 2.99, 6.38], [1.22, 1.48, 1.55]]
    for row, numbers in zip(found, wanted, strict=True):
        assert row == pytest.approx(numbers, rel=4e-3)


@pytest.mark.parametrize("statement", ["singular values lie in the interval", "±κ x attains its ends"])
def test_an_interval_that_is_too_short_fails(monkeypatch, statement):
    right = slopes.interval
    monkeypatch.setattr(slopes, "interval", lambda kappa, method: right(0.9 * kappa, method))
    assert statement in failing(slopes.fixed_coefficient(SMALL))


@pytest.mark.parametrize(("factor", "statement"), [(1.1, "|J| ≤ 1 + κ"), (-1.1, "vᵀJv ≥ (1 − κ)|v|²")])
def test_a_steeper_network_fails_l1_and_the_line(monkeypatch, factor, statement):
    right = slopes.jacobian
    monkeypatch.setattr(slopes, "jacobian", lambda g, x: factor * right(g, x))
    assert statement in failing(slopes.monotone(SMALL))
    assert "0 < f' < 2" in failing(slopes.on_the_line(SMALL))


def test_the_least_of_a_quadratic_form_ignores_the_antisymmetric_part():
    matrix = torch.tensor([[[1.0, 5.0], [-5.0, 3.0]]], dtype=torch.float64)
    assert slopes._least(matrix).tolist() == pytest.approx([1.0])


# --- constructions ----------------------------------------------------------------------------------------------------


def test_a_block_of_another_map_fails_t2(monkeypatch):
    right = constructions.block_of
    monkeypatch.setattr(constructions, "block_of", lambda f, *more: right(lambda x: f(x) * (1 - 1e-6), *more))
    wanted = {"one block equals a given strongly monotone f", "blocks of slope 10, 100 and 1000, and their inverses"}
    assert failing(constructions.monotone_maps(SMALL)) >= wanted


def test_the_wrong_order_fails_c1(monkeypatch):
    right = constructions.converted
    monkeypatch.setattr(constructions, "converted", lambda first, second: right(second, first))
    assert failing(constructions.two_residual_blocks(SMALL)) == {"one implicit block equals two given residual ones"}


def test_three_turns_are_a_reflection_and_each_is_a_residual_map():
    flow = constructions.three_turns()
    assert flow.blocks[0].g_x.kappa == pytest.approx(math.sqrt(0.91), abs=1e-15)
    stages = pictures.turns()
    assert list(stages) == ["x", "after 1", "after 2", "after 3"]
    assert stages["after 3"] == pytest.approx(-0.729 * stages["x"], abs=1e-12)
    angle = math.atan2(*stages["after 1"][0][::-1])
    assert angle == pytest.approx(math.pi / 3)


def test_a_wrong_turn_fails_r3(monkeypatch):
    right = constructions.rotation
    monkeypatch.setattr(constructions, "rotation", lambda: right() * 1.001)
    assert failing(constructions.witness(SMALL)) == {"|A − I| = √0.91 < 1", "three residual blocks equal −0.729 x"}


# --- T3 ---------------------------------------------------------------------------------------------------------------


def test_bounds_of_the_note():
    for blocks, paper, sharper in ((1, 0.4, 0.8), (2, 0.3, 0.6), (3, 0.1, 0.2)):
        found = distance.bounds(10.0, 0.1, [0.97] * blocks)
        assert (found.paper, found.sharper) == pytest.approx((paper, sharper))
        assert found.sharpest == pytest.approx(0.1 * (10 - 1.97**blocks))


def test_antipodal_points_lie_on_the_sphere_with_their_opposites():
    x = distance.antipodal(3, 0.5)
    half = len(x) // 2
    torch.testing.assert_close(x.norm(dim=1), torch.full((2 * half,), 0.5, dtype=torch.float64))
    assert torch.equal(x[:half], -x[half:])


def test_an_error_below_the_bounds_fails_t3():
    found = distance.bounds(10.0, 1.0, [0.5])
    make = distance.Maker("t3", "resflow-1")
    assert not failing(distance.order(found, 8.5, make))
    assert failing(distance.order(found, 8.2, make)) == {"sup|f − g| ≥ r (L − ∏(1 + κ))"}
    assert len(failing(distance.order(found, 3.9, make))) == 3


def test_flows_that_stretch_too_much_fail_t3(monkeypatch):
    monkeypatch.setattr(distance, "supremum", lambda flow, x: 1.0)
    assert len(failing(distance.steep_map(SMALL))) == 4  # three bounds and the equality


# --- the line ---------------------------------------------------------------------------------------------------------

SETTINGS = {"iterations": 3, "batch": 16, "lr": 0.01}


@pytest.mark.parametrize(("kind", "blocks"), [("resflow", 2), ("impflow", 1)])
def test_a_line_fit_is_reproducible_and_stays_within_its_limits(kind, blocks):
    first, again = (fit_line(kind, blocks, SETTINGS, {"widths": (8,)}) for _ in range(2))
    assert torch.equal(first.y, again.y) and first.method == f"{kind}-{blocks}"
    low, high = first.limits
    assert low <= float(first.slopes.min()) and float(first.slopes.max()) <= high
    assert len(first.chain.blocks) == blocks and (first.bounds is None) == (kind == "impflow")


def exact():
    """The ramp itself as one implicit block, and a chain of one residual block beside it."""
    ramp = maps.Ramp()
    block = maps.block_of(ramp, 1 / ramp.high, 1, 1 - ramp.low / ramp.high)
    implicit = LineFit("impflow-1", Chain(1, [block]).eval(), ramp, 0.0)
    linear = ImplicitBlock(g_x=maps.linear_net(torch.full((1, 1), 0.9, dtype=torch.float64)))
    return implicit, LineFit("resflow-1", Chain(1, [linear]).eval(), ramp, 0.0)


def test_the_exact_block_has_no_error_and_the_residual_one_has_its_own():
    implicit, residual = exact()
    assert implicit.error < 1e-8 and implicit.parts() == []
    x = torch.tensor([0.05, 0.25], dtype=torch.float64)
    assert residual.error == pytest.approx(float((implicit.target(x) - 1.9 * x).abs().max()))
    assert residual.limits == pytest.approx((0.1, 1.9)) and not failing(residual.parts())
    assert residual.steep == pytest.approx(implicit.target.slope(0.05)) and residual.steep > 9.99


def test_rows_of_the_line_are_judged_against_the_bounds():
    implicit, residual = exact()
    recorder = Recorder("07-implicit-flows", "smoke")
    line.record([residual, implicit], recorder, "run")
    assert [row.verdict for row in recorder.rows] == ["holds", "holds"]
    assert [row.id for row in recorder.rows] == [f"implicit/line/{m}/sup-error" for m in ("resflow-1", "impflow-1")]
    far = Recorder("07-implicit-flows", "smoke")
    swapped = dataclasses.replace(implicit, chain=residual.chain)
    line.record([residual, swapped], far, "run", beats=2)
    assert [row.verdict for row in far.rows] == ["holds", "fails"]
    assert "at most 0.599955" in far.rows[1].source  # r (L − 4)


def test_a_line_fit_says_what_is_wrong():
    with pytest.raises(InputError, match="kind is 'flow'"):
        fit_line("flow", 1, SETTINGS, {})
    with pytest.raises(InputError, match="FitConfig does not know"):
        fit_line("resflow", 1, {"steps": 3}, {})


# --- the study --------------------------------------------------------------------------------------------------------


def test_a_study_records_a_row_a_claim_and_method(study):
    recorder = Recorder("07-implicit-flows", "smoke")
    study.record(recorder, "run")
    ids = [row.id for row in recorder.rows]
    assert {f"implicit/{claim}/{m}/slack" for claim in CLAIMS for m in study.methods(claim)} <= set(ids)
    assert "implicit/t3/resflow-3/equality" in ids and {row.verdict for row in recorder.rows} == {"holds"}


def test_parts_of_trained_flows_join_their_claim_and_can_fail_it():
    _, residual = exact()
    joined = Study(SMALL, extra=residual.parts())
    assert len(joined.parts("t3")) == len(Study(SMALL).parts("t3")) + 3
    bad = dataclasses.replace(residual.parts()[0], slack=-1.0)
    assert Study(SMALL, extra=[bad]).tightest("t3", "resflow-1") is bad
    with pytest.raises(AssertionError, match="T3"):
        Study(SMALL, extra=[bad]).check("t3")


def test_a_study_prints_and_tabulates_every_statement(study, capsys):
    for claim in CLAIMS:
        study.check(claim)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(study.table()) and all(text.startswith("ok: ") for text in printed)


def test_pictures_hold_what_is_measured():
    implicit, residual = exact()
    panels = pictures.line([residual, implicit])
    assert panels["impflow-1"]["learned"] == pytest.approx(panels["impflow-1"]["target"], abs=1e-7)
    assert panels["resflow-1"]["slope"] == pytest.approx(1.9)
    errors = pictures.errors([residual, implicit])
    assert list(errors["impflow-1"]) == ["measured"] and len(errors["resflow-1"]) == 4
    assert errors["resflow-1"]["r/2 (L − 2^ℓ)"] < errors["resflow-1"]["measured"]
    bands = pictures.intervals([0.3, 0.8], dataclasses.replace(SMALL, nets=3))
    for method, band in bands.items():
        ends = [end for kappa in (0.3, 0.8) for end in slopes.interval(kappa, method)]
        assert band["measured"].ravel() == pytest.approx(ends, rel=0.05)  # aligned networks come near them
    paths = pictures.certificates(SMALL)
    assert all((rows[:, 1] <= rows[:, 2] + 1e-12).all() for rows in paths.values())
