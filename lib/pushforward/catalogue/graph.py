"""Conditional generation on a graph (arXiv 2212.14424, section 9.4, Fig. 6): a flow to a target that labels choose."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward import metrics
from pushforward.catalogue.cases import MMD_POINTS, SOLVER_GAP
from pushforward.catalogue.graph_data import GraphData, LabelledGaussian
from pushforward.catalogue.jko_baselines import family_of
from pushforward.catalogue.measured import ROUND_TRIP, Measured
from pushforward.errors import InputError
from pushforward.experiment import Result, train_once
from pushforward.flows import Bijection, Flow, log_prob_given_labels, sample_given_labels
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.report.published import load_published
from pushforward.report.results import Recorder
from pushforward.shapes import PerPoint, Points

NETWORK = {"jko-iflow": "velocity", "ignn": "net"}  # the setting that says which network, by method
VARIABLES = 0.02  # nats, mean |log|det J| by autograd − log-determinant of the flow|
VARIABLES_POINTS = 200


class Given(Flow):
    """A flow of points with labels as the law of the features given them; draws have the labels [m, nodes] in turn."""

    def __init__(self, flow: Flow, labels: Tensor) -> None:
        super().__init__(flow.bijection)
        self.register_buffer("labels", labels.clone())

    def log_prob(self, x: Points) -> PerPoint:
        """log p(features | labels) in nats [n] of points with their labels."""
        return log_prob_given_labels(Flow(self.bijection), x, self.labels.shape[1])

    def sample(self, n: int, generator: torch.Generator | None = None) -> Points:
        """n draws [n, d], labels last."""
        return sample_given_labels(self, self.labels[torch.arange(n) % len(self.labels)], generator)


class GraphCase(Measured):
    """One method on one series, judged given the labels: NLL, and its excess over the truth where that is known."""

    def __init__(self, method: str, data: GraphData, results: Sequence[Result], suffix: str = "") -> None:
        super().__init__("jko", data.name + suffix, method, results)
        self.data = data
        self.level = "NLL" if data.law is None else "KL"

    @cached_property
    def excess(self) -> list[metrics.Estimate]:
        """E log p(x | Y) − log q(x | Y) on the test points, a seed each; below zero by over 3 errors is an error."""
        law = self.data.law
        return [metrics.check_excess(metrics.kl_to_truth(law, r.flow, r.split.test)) for r in self.results]

    @property
    def shift(self) -> float:
        """What a validation NLL lacks to ``level``: the labels count as N(0, 1) in it, and the truth not at all."""
        val = self.results[0].split.val
        known = standard_normal_log_prob(self.data.labels(val)).double()
        if self.data.law is not None:
            known = known + self.data.law.log_prob(val).double()
        return float(known.mean())

    @property
    def gaussian(self) -> metrics.Estimate:
        """NLL of ``LabelledGaussian`` on the test points of the first seed."""
        return metrics.nll(LabelledGaussian(self.data), self.test)

    @property
    def gaussian_excess(self) -> metrics.Estimate:
        """Its excess over the truth."""
        return metrics.kl_to_truth(self.data.law, LabelledGaussian(self.data), self.test)

    @cached_property
    def change_of_variables(self) -> float:
        """Mean |log|det J| − log-determinant of the first flow| in nats, J by reverse mode, float64."""
        flow = copy.deepcopy(self.flow).double()
        return variables_gap(flow.bijection, self.test[:VARIABLES_POINTS].double())

    def checks(self) -> list[tuple[str, Any, float]]:
        """What makes it a flow: (what, its value, or one a seed, the bound that it stays below); not what is lost."""
        rows = [
            ("round trip in float32 (rms)", "round_trip", ROUND_TRIP),
            ("log-determinant against autograd (nats)", "change_of_variables", VARIABLES),
            ("NLL against float64 (nats)", "gap", SOLVER_GAP),
        ]
        return [(what, self.found(name), bound) for what, name, bound in rows if self.found(name) is not None]

    def at(self, name: str, points: Points) -> "GraphCase":
        """The same flows, judged on points of one label configuration and asked for draws of it."""
        row = self.data.labels(points)[:1]
        results = [replace(r, flow=Given(r.flow, row), split=replace(r.split, test=points)) for r in self.results]
        return GraphCase(self.method, self.data, results, f"-{name}")

    def record_quality(self, record: Recorder, run: str) -> None:
        """Those of every case, and the excess over the truth where that is known."""
        super().record_quality(record, run)
        if self.data.law is not None and self.found("excess"):
            record.add(self.id("nll-excess"), [e.value for e in self.excess], seconds=self.seconds, run=run)

    def record_checks(self, record: Recorder, run: str) -> None:
        """Those of every case, and the change of variables."""
        super().record_checks(record, run)
        gap = self.found("change_of_variables")
        if gap is not None:
            record.add(self.id("change-of-variables"), gap, better="check", at_most=VARIABLES, run=run)

    def record_configuration(self, record: Recorder, run: str) -> None:
        """The rows of a label configuration: NLL and MMD, both estimators."""
        if self.found("nll"):
            record.add(self.id("nll"), [e.value for e in self.nll], seconds=self.seconds, run=run)
        if self.data.law is not None and self.found("excess"):
            record.add(self.id("nll-excess"), [e.value for e in self.excess], seconds=self.seconds, run=run)
        if not self.found("mmd"):
            return
        record.add(self.id("mmd"), [t.value for t in self.mmd], unit="1", run=run)
        record.add(self.id("mmd-threshold"), [t.threshold for t in self.mmd], unit="1", run=run)
        biased = [
            self._mmd(r, s, self.mmd_bandwidth, False).value for r, s in zip(self.results, self.samples, strict=True)
        ]
        record.add(self.id("mmd-biased"), biased, unit="1", run=run)


def train(method: str, data: GraphData, settings: Mapping[str, Any], seeds: Iterable[int] = (0,)) -> GraphCase:
    """Train ``jko-iflow`` or ``ignn`` with Chebyshev filters on the graph, to the target of the labels, once a seed.

    ``settings`` are those of the family; of the network (``velocity`` or ``net``) and of the ``target`` what is not
    said comes from the data.

    Raises:
        InputError: another method, or an unknown setting.
    """
    if method not in NETWORK:
        raise InputError(f"the method {method!r} is unknown on a graph, expected one of {', '.join(NETWORK)}")
    key, settings = NETWORK[method], dict(settings)
    form = {"adjacency": data.adjacency, "features": data.features, "labels": True}
    network = {"kind": "chebyshev", **form, **settings.pop(key, {})}
    target = {"kind": "labelled-shift", "nodes": data.nodes, "features": data.features, **settings.pop("target", {})}
    chosen = family_of(method, {**settings, "precondition": [], key: network, "target": target})
    results = [train_once(f"{data.name}-{method}", chosen, data.split, seed=seed) for seed in seeds]
    # Labels of the last test rows: the MMD compares draws with the first, and independently so.
    labels = data.labels(data.split.test).flip(0)[:MMD_POINTS]
    return GraphCase(method, data, [replace(r, flow=Given(r.flow, labels)) for r in results])


def record_reference(case: GraphCase, record: Recorder, run: str) -> None:
    """The rows of the Gaussian given the labels, on the same test points."""
    name = f"{case.topic}/{case.name}/gaussian"
    record.add(f"{name}/nll", case.gaussian.value, run=run)
    if case.data.law is not None:
        record.add(f"{name}/nll-excess", case.gaussian_excess.value, run=run)


def record_lead(jko: GraphCase, ignn: GraphCase, record: Recorder, run: str, required: bool = False) -> None:
    """By how many nats of NLL JKO-iFlow is ahead of the Gaussian, and of IGNN, means over seeds."""
    mine = fmean(e.value for e in jko.nll)
    jko.record_lead("gaussian", jko.gaussian.value - mine, record, run, required)
    if ignn.found("nll"):
        jko.record_lead("ignn", fmean(e.value for e in ignn.nll) - mine, record, run, required)


@torch.enable_grad()
def variables_gap(bijection: Bijection, x: Points) -> float:
    """Mean |log|det ∂z/∂x| − log-determinant| in nats over x [n, d], the Jacobian by reverse mode."""
    x = x.detach().requires_grad_()
    z, log_det = bijection.forward_and_log_det(x)
    rows = [torch.autograd.grad(z[:, i].sum(), x, retain_graph=True)[0] for i in range(z.shape[1])]
    return float((torch.linalg.slogdet(torch.stack(rows, 1)).logabsdet - log_det).abs().mean().detach())


def clouds(cases: Sequence[GraphCase]) -> dict[str, np.ndarray]:
    """Test points and draws of every method that can be inverted at them, features alone [n, nodes, features]."""
    data = cases[0].data
    points = {"truth": cases[0].test[:MMD_POINTS]} | {
        case.method: case.samples[0] for case in cases if case.found("samples")
    }
    return {name: x[:, : -data.nodes].unflatten(1, (data.nodes, data.features)).numpy() for name, x in points.items()}


def correlations(points: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the features, all of the first, then all of the second [features · nodes, same], of each cloud."""
    return {name: np.corrcoef(x.transpose(0, 2, 1).reshape(len(x), -1).T) for name, x in points.items()}


def beside(cases: Iterable[GraphCase]) -> list[dict[str, Any]]:
    """A row a case and method, then the paper's: another series, so that only their order can be compared."""
    rows = []
    for case in cases:
        nll, tests = case.found("nll"), case.found("mmd")
        row = {"case": case.name, "method": case.method, "NLL": fmean(e.value for e in nll) if nll else None}
        known = case.data.law is not None and case.found("excess")
        row |= {"excess": fmean(e.value for e in case.excess) if known else None}
        row |= {"se": (case.excess if known else nll)[0].se if nll else None}
        row |= {"mmd²": fmean(t.value for t in tests) if tests else None}
        row |= {"threshold": fmean(t.threshold for t in tests) if tests else None}
        rows.append(row | {"note": "; ".join(case.lost.values())})
    return rows + _published()


def _published() -> list[dict[str, Any]]:
    numbers = {key: row for key, row in load_published().items() if key.startswith("jko/solar-")}
    rows = []
    for key, row in numbers.items():
        _, case, method, quantity = key.split("/")
        if quantity != "nll":
            continue
        distance = numbers.get(f"jko/{case}/{method}/mmd-biased")
        note = f"not comparable unless the series is that of {row.bibkey}, {row.table}: solar ramps; MMD² is biased"
        rows.append({"case": case, "method": method, "NLL": row.value, "mmd²": distance.value, "note": note})
    return rows
