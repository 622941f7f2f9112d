"""Steps of a JKO flow made equally long, then cut in two (arXiv 2212.14424, §4.2, Fig. 4, App. B.3), and measured."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pushforward import datasets, distributions
from pushforward.catalogue.settings import family
from pushforward.experiment import Data, Result, train_once
from pushforward.families import JKO
from pushforward.families.parent import Parent
from pushforward.fit import FitConfig
from pushforward.flows import Chain, Flow
from pushforward.metrics import Estimate, mean_and_se
from pushforward.metrics.estimate import in_batches
from pushforward.report.check import check_below
from pushforward.report.results import Recorder
from pushforward.rounds import refine, reparameterise, step_sizes, table, val_nll
from pushforward.shapes import Points

TOPIC = "jko/reparameterisation"
RATIO = 0.5  # of the coefficient of variation after to before, at most
EXACT = 1e-9  # of the refined flow in float64, before it is retrained, against its parent
EXACT_POINTS = 500
BATCH = 4096  # test points at a time


class RoundsCase:
    """Rounds of reparameterisation on one data set, and what belongs to them: a refinement, a control.

    The round to report is chosen on the validation points: of those whose movements vary at most half as much as at
    the start, the one with the lowest NLL; where there is none, the one that varies least.

    Args:
        results: the start and the rounds.
        bound: required of the variation of the movements, after over before.

    ``refined`` are the chosen round and its refinements; ``unchanged`` the start and as many rounds that keep its step
    sizes, what longer training alone does. Both may be empty.
    """

    def __init__(self, name: str, results: Sequence[Result], bound: float = RATIO) -> None:
        self.name, self.results, self.bound = name, list(results), bound
        self.refined: list[Result] = []
        self.unchanged: list[Result] = []

    @property
    def trained(self) -> list[Result]:
        """All that was trained, each once."""
        return [*self.results, *self.refined[1:], *self.unchanged[1:]]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row a round: step sizes, distances S_k and their variation, validation NLL, and the cost so far."""
        return table(self.results)

    @property
    def chosen(self) -> int:
        """The round to report."""
        return choose([row["distance_cv"] for row in self.rows], [row["val_nll"] for row in self.rows])

    @property
    def before(self) -> Flow:
        """The flow of the first step sizes."""
        return self.results[0].flow

    @property
    def after(self) -> Flow:
        """The flow of the chosen round."""
        return self.results[self.chosen].flow

    @cached_property
    def log_probs(self) -> dict[str, Tensor]:
        """log p of the test points [n], in nats: of the start, the chosen round, and the last of the others."""
        flows = {"before": self.before, "after": self.after}
        flows |= {"refined": self.refined[-1].flow} if self.refined else {}
        flows |= {"unchanged": self.unchanged[-1].flow} if self.unchanged else {}
        test = self.results[0].split.test
        return {name: in_batches(flow.log_prob, test, BATCH).double() for name, flow in flows.items()}

    @cached_property
    def nll(self) -> dict[str, Estimate]:
        """Test NLL in nats, by the names of ``log_probs``."""
        return {name: mean_and_se(-values) for name, values in self.log_probs.items()}

    def difference(self, one: str, other: str) -> Estimate:
        """Test NLL of ``one`` minus that of ``other``, paired point by point, in nats."""
        return mean_and_se(self.log_probs[other] - self.log_probs[one])

    @property
    def rise(self) -> Estimate:
        """Test NLL of the chosen round minus that of the start."""
        return self.difference("after", "before")

    @property
    def ratio(self) -> float:
        """Coefficient of variation of the movements, after over before."""
        return self.rows[self.chosen]["distance_cv"] / self.rows[0]["distance_cv"]

    @cached_property
    def departure(self) -> tuple[float, float]:
        """Largest difference of map and of log density between the chosen flow and its refinement before retraining."""
        return departure(self.after, cut(self.after), self.results[0].split.test[:EXACT_POINTS])

    def seconds(self, results: Sequence[Result]) -> float:
        """CPU-seconds of training of these results together."""
        return sum(result.history.seconds for result in results)

    def record(self, record: Recorder, run: str) -> None:
        """Put every number into the results table."""
        case, rows, chosen = f"{TOPIC}/{self.name}", self.rows, self.chosen
        cost = {"before": rows[0]["seconds"], "after": rows[chosen]["seconds"]}
        for when, row in (("before", rows[0]), ("after", rows[chosen])):
            record.add(f"{case}/movement-cv-{when}", row["distance_cv"], unit="1", seconds=cost[when], run=run)
            record.add(f"{case}/nll-{when}", self.nll[when].value, seconds=cost[when], run=run)
        record.add(f"{case}/rounds", chosen, unit="1", run=run)
        record.add(f"{case}/cv-ratio", self.ratio, unit="ratio", better="check", at_most=self.bound, run=run)
        rise, margin = self.rise.value, 2 * self.rise.se
        record.add(f"{case}/nll-rise", rise, better="check", at_most=margin, run=run)
        if self.unchanged:
            spent = self.seconds(self.unchanged)
            record.add(f"{case}/nll-same-steps", self.nll["unchanged"].value, seconds=spent, run=run)
        self._record_refined(record, run)

    def _record_refined(self, record: Recorder, run: str) -> None:
        case = f"jko/refinement/{self.name}"
        for quantity, value in zip(("map", "log-density"), self.departure, strict=True):
            row = f"{case}/warm-start-{quantity}"
            record.add(row, value, unit="1" if quantity == "map" else "nats", better="check", at_most=EXACT, run=run)
        if self.refined:
            spent = self.seconds(self.refined[1:])
            record.add(f"{case}/nll-before", self.nll["after"].value, run=run)
            record.add(f"{case}/nll-after", self.nll["refined"].value, seconds=spent, run=run)

    def check(self) -> None:
        """Print what holds; AssertionError otherwise."""
        check_below(f"{self.name}: variation of the movements, after over before", self.ratio, self.bound)
        rise = self.rise.value - 2 * self.rise.se
        check_below(f"{self.name}: test NLL after minus before, less two standard errors", rise, 0)
        for what, value in zip(("map", "log density"), self.departure, strict=True):
            check_below(f"{self.name}: refined before retraining against its parent, {what}", value, EXACT)

    def curves(self) -> dict[str, Any]:
        """For the figure: distances S_k, their variation and validation NLL round by round, the NLL of the others."""
        names = ("distance", "distance_cv", "val_nll")
        found: dict[str, Any] = {name: [row[name] for row in self.rows] for name in names}
        found |= {"chosen": self.chosen, "unchanged": [val_nll(result) for result in self.unchanged]}
        return found | {"refined": val_nll(self.refined[-1]) if self.refined else None}

    def summary(self) -> list[dict[str, Any]]:
        """A row a training: blocks, variation of the movements and validation NLL; test NLL of those to report."""
        rows = [{"case": self.name, "flow": f"round {row['round']}", **_short(row)} for row in self.rows]
        rows[self.chosen] |= {"flow": f"round {self.chosen} (chosen)", "NLL (test)": self.nll["after"].value}
        rows[0] |= {"NLL (test)": self.nll["before"].value}
        titles = {"refined": "chosen, refined", "unchanged": "same steps, retrained"}
        for which, results in (("refined", self.refined), ("unchanged", self.unchanged)):
            for row in table(results[-1:]):
                row = {"case": self.name, "flow": titles[which], **_short(row)}
                rows.append(row | {"NLL (test)": self.nll[which].value})
        return rows


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"blocks": row["blocks"], "variation": row["distance_cv"], "NLL (validation)": row["val_nll"]}


def choose(variations: Sequence[float], nlls: Sequence[float]) -> int:
    """The round of the lowest NLL of those with at most half the first variation; else the one that varies least."""
    even = [k for k, value in enumerate(variations) if value <= RATIO * variations[0]]
    if not even:
        return min(range(len(variations)), key=variations.__getitem__)
    return min(even, key=nlls.__getitem__)


def case(
    name: str,
    settings: Mapping[str, Any],
    rounds: Mapping[str, Any],
    *,
    refined: int = 1,
    unchanged: bool = False,
    bound: float = RATIO,
    profile: str = "quick",
    seed: int = 0,
) -> RoundsCase:
    """Train JKO-iFlow on a law or data set, reparameterise it, refine the chosen round.

    Args:
        settings: of ``pf.JKO``.
        rounds: arguments of ``pushforward.rounds.reparameterise``; ``fit`` holds what differs from ``settings``.
        refined: how often the steps of the chosen round are cut in two.
        unchanged: whether as many rounds are also made without a change of the steps.
        bound: required of the variation of the movements, after over before.

    Raises:
        InputError: unknown data, law or setting.
        DataError: the data is absent or altered.
    """
    chosen, fit = family(JKO, settings), _fit(settings, rounds)
    found = RoundsCase(name, reparameterised(name, _data(name, profile), settings, rounds, seed), bound)
    start, label = found.results[found.chosen], f"{name}-rounds"
    if refined:
        label_refined = f"{label}-of-{found.chosen}"
        found.refined = refine(label_refined, chosen, start.split, refined, fit=fit, start=start, seed=seed)
    if unchanged:
        found.unchanged = retrain(f"{label}-unchanged", chosen, found.results[0], found.chosen, fit, seed)
    return found


def reparameterised(
    name: str, data: Data, settings: Mapping[str, Any], rounds: Mapping[str, Any], seed: int
) -> list[Result]:
    """The rounds alone; arguments and errors as those of ``case``."""
    more = {key: value for key, value in rounds.items() if key != "fit"}
    fit = _fit(settings, rounds)
    return reparameterise(f"{name}-rounds", family(JKO, settings), data, **more, fit=fit, seed=seed)


def _fit(settings: Mapping[str, Any], rounds: Mapping[str, Any]) -> FitConfig:
    """The optimiser's settings in the rounds."""
    return family(JKO, {"fit": {**settings.get("fit", {}), **rounds.get("fit", {})}}).fit


def retrain(name: str, chosen: JKO, start: Result, rounds: int, fit: FitConfig, seed: int = 0) -> list[Result]:
    """``start`` and so many rounds that go on from it with the step sizes that it has: what training alone does."""
    results = [start]
    for number in range(1, rounds + 1):
        h, parent = tuple(step_sizes(results[-1])), results[-1].folder.name
        child = replace(chosen, h=h, parent=parent, fit=fit, stop_ratio=0.0, stop_on_rise=False)
        results.append(train_once(f"{name}-{number}", child, start.split, seed=seed))
    return results


def present(cases: Mapping[str, Any], profile: str = "quick") -> dict[str, Any]:
    """Those of ``cases``, by law or data set, whose data is there; of the others it prints what to do."""
    found = {}
    for name, settings in cases.items():
        if name in datasets.names() and not datasets.available(name, profile):
            print(f"{name}: data absent: make data")
        else:
            found[name] = settings
    return found


def _data(name: str, profile: str) -> Data:
    return datasets.load(name, profile) if name in datasets.names() else distributions.by_name(name)


def cut(flow: Flow) -> Flow:
    """The flow whose every block is cut in two: the same map, before any retraining."""
    parent = Parent.of(flow)
    halves = parent.starts(2 * len(parent.blocks), free_block=False)
    return Flow(Chain(flow.dim, [*parent.preconditioners, *halves])).eval()


@torch.no_grad()
def departure(one: Flow, other: Flow, x: Points) -> tuple[float, float]:
    """Largest |T(x) − T'(x)| and |log p(x) − log p'(x)| of two flows on points x [n, d], in float64."""
    first, second = (copy.deepcopy(flow).double() for flow in (one, other))
    x = x.double()
    maps = (first.bijection(x) - second.bijection(x)).abs().max()
    return float(maps), float((first.log_prob(x) - second.log_prob(x)).abs().max())
