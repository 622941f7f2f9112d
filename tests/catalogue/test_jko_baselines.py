"""JKO-iFlow and its baselines: one interface, an accounting that adds up, and flows that are lost without an end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pushforward import distributions, metrics
from pushforward.catalogue import jko_baselines as baselines
from pushforward.catalogue import measured
from pushforward.catalogue.cases import EXTENT
from pushforward.catalogue.settings import family
from pushforward.datasets import Split
from pushforward.errors import InputError, NotInvertible
from pushforward.families import FFJORD, IGNN, JKO, Implicit, Zuko
from pushforward.numerics import FixedGrid
from pushforward.report.published import load_published
from pushforward.report.results import Recorder
from pushforward.run import parameters, settings
from pushforward.seeds import stream

LAW = "8-gaussians"
COMMON = {"pool": 1000, "fit": {"iterations": 6, "batch": 100, "lr": 0.01, "validate_every": 3}}
SETTINGS = {
    "jko-iflow": {"velocity": {"kind": "lattice", "sizes": [16, 8]}, "blocks": 2, "stop_ratio": 0.0},
    "ffjord": {"velocity": {"kind": "mlp", "widths": [8], "activation": "tanh"}},
    "ffjord-small": {"velocity": {"kind": "mlp", "widths": [4], "activation": "tanh"}, "steps": 2},
    "ot-flow": {"width": 8, "steps": 2, "test_steps": 6},
    "i-resnet": {"blocks": 2, "net": {"kind": "mlp", "widths": [8, 8], "activation": "sin", "coeff": 0.9}},
    "ignn": {"blocks": 2, "net": {"kind": "mlp", "widths": [8, 8], "activation": "silu"}},
    "score-sde": {"net": {"kind": "time-lattice", "levels": [[12, 0.0, 2]]}, "prediction": "angle"},
    "nsf": {"transforms": 2, "hidden": [8]},
    "maf": {"transforms": 3, "hidden": [8]},
}
FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("PUSHFORWARD_RESULTS", str(folder / "results"))
        patch.setattr("pushforward.experiment.HELD_OUT", 400)  # points of each part, so that solves stay small
        yield folder


@pytest.fixture(scope="module")
def cases():
    found = baselines.compared(LAW, baselines.chosen(COMMON, SETTINGS))
    return {case.method: case for case in found}


def test_a_method_is_its_family_with_what_makes_it_that_method():
    resflow = baselines.family_of("i-resnet", {"blocks": 3})
    assert isinstance(resflow, Implicit) and resflow.kind == "resflow" and resflow.blocks == 3
    assert resflow.log_det == {"kind": "truncated", "terms": 10}
    assert isinstance(baselines.family_of("maf", {}), Zuko) and baselines.family_of("maf", {}).kind == "maf"
    assert isinstance(baselines.family_of("ignn", {"gamma": 0.5}), IGNN)
    with pytest.raises(InputError, match=r"'glow' is unknown, expected one of jko-iflow, .*maf"):
        baselines.family_of("glow", {})
    with pytest.raises(InputError, match="gama"):
        baselines.family_of("ignn", {"gama": 0.5})


def test_later_settings_go_before_earlier_ones_those_of_the_fit_one_by_one():
    own = {"ffjord": {"steps": 4, "fit": {"lr": 0.5}}, "maf": {"transforms": 2}}
    chosen = baselines.chosen({"pool": 7, "fit": {"lr": 0.1, "batch": 3}}, {"ffjord": {"steps": 2, "pool": 9}}, own)
    assert chosen["ffjord"] == {"pool": 9, "steps": 4, "fit": {"lr": 0.5, "batch": 3}}
    assert chosen["maf"] == {"pool": 7, "transforms": 2, "fit": {"lr": 0.1, "batch": 3}}


def test_a_title_is_a_method_with_other_settings(cases):
    assert list(cases) == list(SETTINGS)
    assert cases["ffjord-small"].results[0].folder.name.startswith(f"{LAW}-ffjord-small-")
    assert cases["ffjord-small"].flow.bijection.blocks[-1].solver == FixedGrid(2)
    assert len({case.test.sum().item() for case in cases.values()}) == 1  # everyone is judged on the same points


def test_a_table_adds_up(cases):
    rows = {row["method"]: row for row in baselines.budget_table(cases.values(), {"maf": 3.5})}
    assert {row["minibatches"] for method, row in rows.items() if method != "jko-iflow"} == {6}
    assert rows["jko-iflow"]["minibatches"] == 12 and rows["jko-iflow"]["evaluations"] == 12 * 8
    assert rows["ffjord-small"]["evaluations"] == 6 * 2 * 4 and rows["ot-flow"]["evaluations"] == 6 * 2 * 4
    assert rows["ignn"]["evaluations"] == 12
    assert rows["ffjord-small"]["parameters"] == 3 * 4 + 4 + 4 * 2 + 2
    assert rows["jko-iflow"]["parameters"] == 2 * 2 * (16**2 + 8**2)
    assert rows["maf"]["peak MiB"] == 3.5 and rows["nsf"]["peak MiB"] is None
    for method, row in rows.items():
        case = cases[method]
        assert row["KL"] == metrics.kl_to_truth(case.law, case.flow, case.test).value
        assert row["round trip"] == case.trips[0].rms and row["of points"] == 400
        assert row["CPU s"] == case.results[0].history.seconds > 0
        assert row["mmd²"] == case.mmd[0].value and row["threshold"] == case.mmd[0].threshold


def test_every_flow_is_one(cases):
    for case in cases.values():
        assert case.integral(100) == pytest.approx(1, abs=measured.INTEGRAL)
        assert case.round_trip[0] < case.trip_bound
        assert case.gap < 0.02 and case.excess[0].value > 0 and not case.lost
    assert cases["ffjord"].trip_bound == measured.TOLERANCES * 1e-5
    assert cases["ot-flow"].trip_bound == cases["ignn"].trip_bound == measured.ROUND_TRIP


def test_pictures_are_a_part_of_the_integrals_grid(cases):
    shown = baselines.pictures([cases["maf"]], 140)  # cells of a tenth over [-7, 7]
    assert list(shown) == ["true", "maf"] and shown["maf"].shape == (90, 90)
    point = torch.tensor([[0.15, 2.25]])
    column, row = ((point[0] + EXTENT) / 0.1).floor().int().tolist()
    for values, density in ((shown["true"], cases["maf"].law), (shown["maf"], cases["maf"].flow)):
        assert values[row, column] == pytest.approx(float(density.log_prob(point).detach().exp()), rel=1e-4)
    assert np.isfinite(shown["maf"]).all()


def test_curves_are_on_validation_points_and_end_with_the_training(cases):
    case = cases["ffjord-small"]
    assert [seconds for seconds, _ in case.training_curve()] == sorted(s for s, _ in case.training_curve())
    val = case.results[0].split.val
    assert len(case.training_curve()) == 2
    assert case.training_curve()[-1][1] == pytest.approx(metrics.kl_to_truth(case.law, case.flow, val).value, abs=1e-3)
    assert len(cases["jko-iflow"].training_curve()) == 3


def test_norms_of_the_inversion_error_and_that_of_the_authors(cases):
    rows = {row["method"]: row for row in baselines.inversion_table(cases.values())}
    assert rows["maf"]["½ mean |e|², dopri5"] is None and rows["ffjord"]["½ mean |e|², dopri5"] > 0
    assert rows["maf"]["½ mean |e|²"] == pytest.approx(rows["maf"]["√ mean |e|²"] ** 2 / 2)


def test_rows_of_jko_are_left_to_its_own_notebook(cases):
    record = Recorder("12-jko-baselines", "smoke")
    baselines.record(list(cases.values()), record, "run", 100)
    found = {row.id.removeprefix(f"jko/{LAW}/"): row for row in record.rows}
    ours = {f"jko-iflow/{own}" for own in ("nfe", "parameters", "inversion-error", "lead-over-best-baseline")}
    assert {name for name in found if name.startswith("jko-iflow/")} == ours
    quantities = ("nll", "nll-excess", "mmd", "mmd-threshold", "seconds", "nfe", "parameters", "round-trip", "integral")
    for method in set(SETTINGS) - {"jko-iflow"}:
        assert {f"{method}/{quantity}" for quantity in quantities} <= set(found)
        assert found[f"{method}/round-trip"].verdict == found[f"{method}/integral"].verdict == "holds"
    assert found["ffjord/inversion-error"].value == cases["ffjord"].published_norm > 0
    assert "maf/inversion-error" not in found  # no ODE
    paper = ("ffjord", "ot-flow", "i-resnet", "ignn", "score-sde")  # neither the strong ones nor variants
    best = min(cases[method].excess[0].value for method in paper)
    lead = found["jko-iflow/lead-over-best-baseline"].value
    assert lead == pytest.approx(best - cases["jko-iflow"].excess[0].value)


def test_the_papers_estimator_is_the_biased_one(cases):
    record, case = Recorder("12-jko-baselines", "smoke"), cases["maf"]
    baselines.record_biased([case], 300, record, "run")
    x, y = case.test[:300], case.flow.sample(300, stream(0, "samples/biased"))
    exact = metrics.mmd(x, y, 0.1 * metrics.median_distance(x), unbiased=False)
    assert record.rows[0].id == f"jko/{LAW}/maf/mmd-biased" and record.rows[0].value == pytest.approx(exact)


def test_a_flow_that_folds_is_lost_and_stops_nothing(cases, monkeypatch):
    case = baselines.planar(LAW, "ignn", baselines.merged(COMMON, SETTINGS["ignn"]))

    def fold(*_):
        raise NotInvertible("3 of 400 points meet a determinant that is not positive")

    for block in case.flow.bijection.blocks[1:]:
        monkeypatch.setattr(block, "forward_and_log_det", fold)
        monkeypatch.setattr(block, "inverse", fold)
    row = baselines.budget_table([case])[0]
    assert row["NLL"] is row["KL"] is row["nfe"] is row["mmd²"] is row["round trip"] is None
    assert row["CPU s"] > 0 and "3 of 400" in case.lost["nll"]
    assert "3 of 400" in baselines.inversion_table([case])[0]["lost"]
    assert list(baselines.pictures([case], 140)) == ["true"]
    test = cases["maf"].mmd[0]
    assert baselines.discrepancies([case, cases["maf"]]) == {"maf": (test.value, test.threshold)}
    assert "3 of 400" in baselines.beside([case])[0]["lost"]
    record = Recorder("12-jko-baselines", "smoke")
    baselines.record([cases["jko-iflow"], case], record, "run", 100)
    assert {row.id.split("/")[-1] for row in record.rows if "/ignn/" in row.id} == {"seconds", "parameters"}


def test_a_training_that_folds_is_said_and_left_out(cases, monkeypatch, capsys):
    whole = baselines.planar

    def planar(name, method, own, suffix=""):
        if method == "ignn":
            raise NotInvertible("18 points meet a determinant that is not positive")
        return whole(name, method, own, suffix=suffix)

    monkeypatch.setattr(baselines, "planar", planar)
    found = baselines.compared(LAW, baselines.chosen(COMMON, {name: SETTINGS[name] for name in ("ignn", "maf")}))
    assert [case.method for case in found] == ["maf"]
    assert f"{LAW}-ignn: lost in training, NotInvertible: 18 points" in capsys.readouterr().out


def test_real_data_has_the_same_interface():
    x = torch.randn(400, 3, generator=stream(0, "test"))
    split = Split.from_points(x, name="cloud")
    case = baselines.real(split, "maf", baselines.merged(COMMON, SETTINGS["maf"]), suffix="-fixed-budget", points=20)
    assert case.id("nll") == "jko/cloud/maf-fixed-budget/nll" and len(case.test) == 20
    row = baselines.budget_table([case])[0]
    assert "KL" not in row and row["NLL"] == case.nll[0].value and row["se"] == case.nll[0].se


def test_peaks_are_those_of_each_methods_own_family(monkeypatch):
    asked = {}

    def peak(family, points, iterations):
        asked[type(family)] = (points, iterations)
        return 1.5

    monkeypatch.setattr(baselines, "training_peak", peak)
    chosen = baselines.chosen(COMMON, {name: SETTINGS[name] for name in ("jko-iflow", "ffjord-small")})
    assert baselines.peaks(LAW, chosen, 50, iterations=3) == {"jko-iflow": 1.5, "ffjord-small": 1.5}
    points, iterations = asked[FFJORD]
    assert points.shape == (50, 2) and iterations == 3 and torch.equal(points, asked[JKO][0])


def test_published_excesses_stand_beside():
    assert baselines.published_excess("rose")["ffjord"] == load_published()["jko/rose/ffjord/nll-excess"].value
    assert baselines.published_excess(LAW) == {}


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_the_jko_flows_of_notebook_12_are_those_of_01(profile):
    """Otherwise 12 would train its own, and its figures would show another flow than the rows of 01."""
    first, own = (
        settings(FOLDER / "params" / profile / f"{name}.yml", parameters(FOLDER / f"{name}.ipynb"))
        for name in ("01-jko-2d", "12-jko-baselines")
    )
    for case in own["cases"]:
        chosen = baselines.chosen(own["common"], own["settings"], own["overrides"].get(case))
        theirs = {**first["settings"], **first["overrides"].get(case, {})}
        assert baselines.family_of("jko-iflow", chosen["jko-iflow"]) == family(JKO, theirs)
        if case in first["mlp_cases"]:
            assert baselines.family_of("jko-iflow", chosen["jko-iflow-mlp"]) == family(JKO, first["mlp_settings"])


def test_every_profile_is_understood_and_no_baseline_is_larger_than_jko():
    own = settings(FOLDER / "params/quick/12-jko-baselines.yml", parameters(FOLDER / "12-jko-baselines.ipynb"))
    for case in own["cases"]:
        sizes = {}
        for title, chosen in baselines.chosen(own["common"], own["settings"], own["overrides"].get(case)).items():
            sizes[title] = _parameters(baselines.family_of("jko-iflow" if "jko" in title else title, chosen))
        assert max(sizes.values()) == sizes["jko-iflow"]


def _parameters(chosen):
    if isinstance(chosen, JKO):
        return chosen.blocks * sum(p.numel() for p in chosen.block(2).parameters())
    if isinstance(chosen, Implicit | IGNN):
        return chosen.blocks * sum(p.numel() for p in (chosen.block(dim=2)).parameters())
    part = chosen.bijection(2) if isinstance(chosen, Zuko) else chosen.ode(2)
    return sum(p.numel() for p in part.parameters())


def test_laws_are_looked_up_by_name():
    with pytest.raises(InputError, match="dahlia"):
        baselines.planar("dahlia", "maf", COMMON)
    assert distributions.by_name(LAW).sample(3, stream(0, "x")).shape == (3, 2)
