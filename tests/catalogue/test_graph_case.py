"""Flows judged given the labels: every number is that of the conditional law."""

import math

import numpy as np
import pytest
import torch

from cases import generator, jacobian
from pushforward.catalogue import graph
from pushforward.catalogue.graph import Given, beside, clouds, correlations, variables_gap
from pushforward.catalogue.graph_data import LabelledGaussian, frequent, generated, own
from pushforward.errors import InputError, NotInvertible
from pushforward.flows import LabelledShift, ResidualBlock, log_prob_given_labels
from pushforward.metrics import median_distance, mmd
from pushforward.report.published import load_published
from pushforward.report.results import Recorder

FRONT = [1, 1, 0, 1, 0, 0, 0, 1, 0, 1]
FIT = {"iterations": 12, "batch": 32, "lr": 0.01}
SETTINGS = {
    "jko-iflow": {
        "velocity": {"widths": [4, 4]},
        "target": {"gap": 2.0, "sigma": 1.0},
        "h": [2.0],
        "stop_ratio": 0.0,
        "fit": FIT,
    },
    "ignn": {"net": {"widths": [4, 4]}, "target": {"gap": 2.0, "sigma": 1.0}, "blocks": 2, "fit": FIT},
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        yield


@pytest.fixture(scope="module")
def data():
    return generated(400, 300)


@pytest.fixture(scope="module")
def cases(artifacts, data):
    return {method: graph.train(method, data, settings) for method, settings in SETTINGS.items()}


def plain(case, points):
    with torch.no_grad():
        return log_prob_given_labels(graph.Flow(case.flow.bijection), points, 10)


def test_both_methods_have_the_graph_in_their_network_and_the_labels_target(cases, data):
    for method, case in cases.items():
        nets = [part for part in case.flow.modules() if type(part).__name__ == "ChebyshevNet"]
        assert len(nets) == {"jko-iflow": 1, "ignn": 2}[method]
        assert all(net.adjacency == data.adjacency and net.widths == (4, 4) and net.labels for net in nets)
        (target,) = [part for part in case.flow.modules() if isinstance(part, LabelledShift)]
        assert target.settings() == {"nodes": 10, "features": 2, "gap": 2.0, "sigma": 1.0}
    assert cases["jko-iflow"].parameters == sum(p.numel() for p in nets[0].parameters())
    assert cases["ignn"].parameters == 2 * cases["jko-iflow"].parameters
    assert isinstance(cases["ignn"].flow.bijection.blocks[0], ResidualBlock)


def test_levels_are_given_the_labels(cases, data):
    for case in cases.values():
        learned, truth = plain(case, data.split.test), data.law.log_prob(data.split.test)
        assert case.nll[0].value == pytest.approx(-float(learned.mean()), abs=1e-4)
        assert case.excess[0].value == pytest.approx(float((truth - learned).mean()), abs=1e-4)
        found = case.results[0].history.stages[-1]["val_nll"] + case.shift
        exact = (data.law.log_prob(data.split.val) - plain(case, data.split.val)).mean()
        assert found == pytest.approx(float(exact), abs=1e-3) and case.level == "KL"


def test_draws_have_labels_of_other_rows_than_they_are_compared_with(cases, data):
    drawn = cases["jko-iflow"].samples[0]
    assert len(drawn) == 2000
    assert torch.equal(drawn[:300, 20:], data.split.test[:, 20:].flip(0))  # 300 test rows, taken in turn
    assert torch.equal(drawn[300:600, 20:], drawn[:300, 20:])
    one = Given(graph.Flow(cases["ignn"].flow.bijection), torch.ones(1, 10)).sample(5, generator())
    assert (one[:, 20:] == 1).all()


def test_a_configuration_is_judged_on_its_own_points(cases, data):
    points = data.given(FRONT, 250)
    case = cases["jko-iflow"].at("first", points)
    assert case.id("nll") == "jko/graph-first/jko-iflow/nll"
    assert (case.samples[0][:, 20:] == torch.tensor(FRONT)).all()
    assert case.nll[0].value == pytest.approx(-float(plain(case, points).mean()), abs=1e-4)
    record = Recorder("04-jko-graph", "smoke")
    case.record_configuration(record, "run")
    rows = {row.parts[-1]: row.value for row in record.rows}
    assert set(rows) == {"nll", "nll-excess", "mmd", "mmd-threshold", "mmd-biased"}
    exact = data.law.log_prob(points).mean()
    assert rows["nll-excess"] == pytest.approx(rows["nll"] + float(exact), abs=1e-4)
    width = median_distance(points)
    assert rows["mmd"] == pytest.approx(mmd(points, case.samples[0][:250], width), abs=1e-12)
    assert rows["mmd-biased"] == pytest.approx(mmd(points, case.samples[0][:250], width, unbiased=False), abs=1e-12)


def test_rows_of_the_results(cases):
    record = Recorder("04-jko-graph", "smoke")
    for case in cases.values():
        case.record(record, "run")
    graph.record_reference(cases["ignn"], record, "run")
    graph.record_lead(cases["jko-iflow"], cases["ignn"], record, "run")
    rows = {row.id: row for row in record.rows}
    wanted = {"nll", "nll-excess", "mmd", "mmd-threshold", "seconds", "nfe", "parameters", "round-trip"}
    for method in cases:
        found = {row.parts[-1] for row in record.rows if row.parts[2] == method}
        assert wanted | {"change-of-variables", "nll-solver-gap"} <= found
    checks = [row for row in record.rows if row.better == "check"]
    assert len(checks) == 6 and all(row.verdict == "holds" for row in checks)
    reference = rows["jko/graph/gaussian/nll-excess"].value
    assert reference == pytest.approx(5.0, abs=1.5)
    lead = rows["jko/graph/jko-iflow/lead-over-gaussian"]
    excess = {method: rows[f"jko/graph/{method}/nll-excess"].value for method in cases}
    assert lead.value == pytest.approx(reference - excess["jko-iflow"], abs=1e-4)
    assert lead.verdict == "-"  # twelve iterations: nothing is required of them
    assert rows["jko/graph/jko-iflow/lead-over-ignn"].value == pytest.approx(
        excess["ignn"] - excess["jko-iflow"], abs=1e-4
    )


def test_the_checks_are_the_rows(cases):
    for case in cases.values():
        (_, trip, most), (_, gap, _), (_, other, _) = case.checks()
        assert trip == case.round_trip and most == 1e-4 and max(trip) < most
        assert gap == case.change_of_variables < 0.02 and other == case.gap < 0.02


def test_a_lead_that_is_required_and_not_there_fails(cases):
    record = Recorder("04-jko-graph", "smoke")
    graph.record_lead(cases["jko-iflow"], cases["ignn"], record, "run", required=True)
    assert [row.better for row in record.rows] == ["check", "check"]
    assert record.rows[0].verdict == ("holds" if record.rows[0].value >= 0 else "fails")
    assert record.rows[0].verdict == "fails"


def test_the_change_of_variables_is_measured_against_autograd(cases, data):
    x = data.split.test[:8].double()
    flow = cases["ignn"].flow.double()
    try:
        assert variables_gap(flow.bijection, x) < 1e-10
        wrong = graph.copy.deepcopy(flow.bijection)
        right = wrong.forward_and_log_det
        wrong.forward_and_log_det = lambda y: (right(y)[0], right(y)[1] + 0.25)
        assert variables_gap(wrong, x) == pytest.approx(0.25, abs=1e-10)
        exact = torch.linalg.slogdet(jacobian(flow.bijection, x)).logabsdet
        torch.testing.assert_close(flow.bijection.forward_and_log_det(x)[1], exact)
    finally:
        flow.float()


def test_pictures_are_of_features_node_by_node(cases, data):
    shown = clouds(list(cases.values()))
    assert list(shown) == ["truth", "jko-iflow", "ignn"]
    assert shown["truth"].shape == (300, 10, 2) and shown["ignn"].shape == (2000, 10, 2)
    assert shown["truth"][5, 3, 1] == data.split.test[5, 7].item()
    matrix = correlations(shown)["truth"]
    previous = np.corrcoef(data.split.test[:, 1].numpy(), data.split.test[:, 4].numpy())[0, 1]
    assert matrix.shape == (20, 20) and matrix[10, 2] == pytest.approx(previous, abs=1e-6)


def test_the_table_has_the_papers_rows_and_says_what_they_are(cases):
    rows = beside(cases.values())
    assert [row["method"] for row in rows] == ["jko-iflow", "ignn"] * 3
    assert rows[0]["excess"] == cases["jko-iflow"].excess[0].value and rows[0]["NLL"] == cases["jko-iflow"].nll[0].value
    published = load_published()
    for row in rows[2:]:
        assert row["case"].startswith("solar-") and row["note"].startswith("not comparable")
        assert row["NLL"] == published[f"jko/{row['case']}/{row['method']}/nll"].value
        assert row["mmd²"] == published[f"jko/{row['case']}/{row['method']}/mmd-biased"].value


def test_a_users_series_has_no_excess(artifacts, tmp_path):
    steps = torch.randn(300, 4, generator=generator(2), dtype=torch.float64)
    np.savetxt(tmp_path / "solar.csv", 100 * (0.6 * steps).exp(), delimiter=",", header="a,b,c,d", comments="")
    series = own(tmp_path / "solar.csv")
    case = graph.train("jko-iflow", series, SETTINGS["jko-iflow"])
    record = Recorder("04-jko-graph", "smoke")
    case.record(record, "run")
    graph.record_reference(case, record, "run")
    at = case.at("first", series.given(frequent(series)[0]))
    at.record_configuration(record, "run")
    ids = [row.id for row in record.rows]
    assert not [name for name in ids if "excess" in name] and "jko/solar/gaussian/nll" in ids
    row = next(row for row in record.rows if row.id == "jko/solar-first/jko-iflow/nll")
    assert row.published == -13.6  # a file called solar stands beside the paper
    assert case.level == "NLL" and math.isfinite(case.shift)
    known = case.results[0].history.stages[-1]["val_nll"] + case.shift
    with torch.no_grad():
        assert known == pytest.approx(-float(case.flow.log_prob(series.split.val).mean()), abs=1e-3)
    assert beside([case])[0]["excess"] is None
    assert case.gaussian.value == pytest.approx(
        -float(LabelledGaussian(series).log_prob(series.split.test).mean()), abs=1e-5
    )


def test_another_method_is_named(data):
    with pytest.raises(InputError, match="method 'ffjord' is unknown on a graph, expected one of jko-iflow, ignn"):
        graph.train("ffjord", data, {})
    with pytest.raises(InputError, match="settings has colour"):
        graph.train("ignn", data, {"colour": 3})


def test_a_flow_that_cannot_be_judged_leaves_a_note(cases, data, monkeypatch):
    case = graph.GraphCase("ignn", data, cases["ignn"].results)
    for place, name in (
        (Given, "log_prob"),
        (Given, "sample"),
        (graph.metrics, "round_trip"),
        (graph, "variables_gap"),
    ):
        monkeypatch.setattr(place, name, _folds)
    assert case.found("nll") is None and case.checks() == []
    assert list(clouds([case])) == ["truth"]
    row = beside([case])[0]
    assert row["NLL"] is None and "folds" in row["note"]


def _folds(*_):
    raise NotInvertible("it folds")
