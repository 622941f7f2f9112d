"""The ten claims, each with what measures it; a study runs them over schedules and targets and records what holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import pandas as pd

from pushforward.catalogue.theorems import flow_maps, gradients, identities, loops, loss, stability
from pushforward.catalogue.theorems.parts import EQUAL, Grid, Part
from pushforward.errors import InputError
from pushforward.interpolation import TARGETS, Schedule, Target, by_name
from pushforward.report.check import check_above
from pushforward.report.results import Recorder

Measure = Callable[[Schedule, Target, Grid], list[Part]]


@dataclass(frozen=True)
class Claim:
    """A claim of the note, what measures it on one target, and the targets on which it can be measured."""

    title: str
    measure: Measure
    applies: Callable[[Target], bool]
    extra: Callable[[Schedule, Grid], list[Part]] | None = None  # once a schedule, whatever the targets


def _any(target: Target) -> bool:
    return True


def _mixture(target: Target) -> bool:
    """A law whose quantiles, moments and draws at t = 1 are known to rounding."""
    return target.law is not None


def _line(target: Target) -> bool:
    """On the line W2 is exact; σ and R give C and Lip(X_1)."""
    return target.law is not None and target.law.dim == 1 and target.radius is not None


CLAIMS: dict[str, Claim] = {
    "a1": Claim("velocity identities", identities.velocity_forms, _any),
    "a2": Claim("marginals", identities.marginals, _any),
    "a3": Claim("covariance identities", identities.covariance_forms, _any),
    "a4": Claim("bounds on the velocity's gradient", gradients.gradient_bounds, _any),
    "a5": Claim("Lipschitz constants of the flow map", flow_maps.lipschitz_constants, _any),
    "a6": Claim("one map for all schedules", flow_maps.one_map, _mixture),
    "a7": Claim("auto-encoding and cycle consistency", loops.loops, _mixture),
    "a8": Claim("stability", stability.stability_bounds, _line, stability.attained),
    "a9": Claim("likelihood", loops.likelihood, _mixture),
    "a10": Claim("loss floor", loss.loss_identities, _mixture),
}


class Study:
    """The claims over some schedules and targets. Each is measured when it is first asked for.

    Args:
        schedules: names of ``interpolation.SCHEDULES``.
        targets: names of ``interpolation.TARGETS``, with at least one mixture on the line for A8.

    Raises:
        InputError: an unknown name, or no target for a claim.
    """

    def __init__(self, schedules: Sequence[str], targets: Sequence[str], grid: Grid) -> None:
        unknown = [name for name in targets if name not in TARGETS]
        if unknown:
            raise InputError(f"targets has {', '.join(unknown)}, expected some of {', '.join(TARGETS)}")
        self.schedules = [by_name(name) for name in schedules]
        self.targets, self.grid = [TARGETS[name] for name in targets], grid
        idle = [key for key, claim in CLAIMS.items() if not any(map(claim.applies, self.targets))]
        if idle:
            raise InputError(f"no target of {list(targets)} can show {', '.join(idle)}: add T-A1, a mixture on a line")
        self.seconds: dict[str, float] = {}
        self._parts: dict[str, list[Part]] = {}

    def parts(self, claim: str) -> list[Part]:
        """Every part of a claim, schedule by schedule."""
        if claim not in self._parts:
            start, found = time.process_time(), []
            for schedule in self.schedules:
                for target in filter(CLAIMS[claim].applies, self.targets):
                    found += CLAIMS[claim].measure(schedule, target, self.grid)
                if CLAIMS[claim].extra is not None:
                    found += CLAIMS[claim].extra(schedule, self.grid)
            self._parts[claim], self.seconds[claim] = found, time.process_time() - start
        return self._parts[claim]

    def tightest(self, claim: str, schedule: str) -> Part:
        """The part, equalities aside, that is nearest to failing: its slack is the claim's."""
        parts = [part for part in self.parts(claim) if part.schedule == schedule and part.kind != "equality"]
        return min(parts, key=lambda part: part.slack - part.least if isfinite(part.slack) else -inf)

    def equality(self, claim: str, schedule: str) -> float | None:
        """The largest gap of all cases of equality, None where the claim has none."""
        errors = [p.error for p in self.parts(claim) if p.schedule == schedule and p.kind == "equality"]
        return max(errors, key=lambda error: error if isfinite(error) else inf) if errors else None

    def check(self, claim: str) -> None:
        """Print a line a statement that holds everywhere; the smallest slack of one that does not is in the error.

        Raises:
            AssertionError: a statement fails.
        """
        for statement, parts in self._by_statement(claim).items():
            check_above(f"{claim.upper()}, {statement}: slack", [part.slack for part in parts], parts[0].least)

    def table(self, claim: str) -> pd.DataFrame:
        """A row a statement: whose it is, on how many targets, the worst target, and the slack of each schedule."""
        rows = []
        for statement, parts in self._by_statement(claim).items():
            worst = min(parts, key=lambda part: part.slack)
            row = {"claim": claim.upper(), "statement": statement, "source": parts[0].source, "kind": parts[0].kind}
            row |= {"targets": len({part.target for part in parts}), "tightest on": worst.target}
            for name in (schedule.name for schedule in self.schedules):
                row[name] = min((part.slack for part in parts if part.schedule == name), default=float("nan"))
            rows.append(row)
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """A row a claim: the slack of the part that is nearest to failing, a column a schedule."""
        rows = []
        for claim in CLAIMS:
            row = {"claim": claim.upper(), "title": CLAIMS[claim].title}
            rows.append(row | {s.name: self.tightest(claim, s.name).slack for s in self.schedules})
        return pd.DataFrame(rows)

    def _by_statement(self, claim: str) -> dict[str, list[Part]]:
        found: dict[str, list[Part]] = {}
        for part in self.parts(claim):
            found.setdefault(part.statement, []).append(part)
        return found

    def record(self, record: Recorder, run: str) -> None:
        """``gif/<claim>/<schedule>/slack`` for every claim and schedule, and ``.../equality`` where there is one."""
        for claim in CLAIMS:
            for name in (schedule.name for schedule in self.schedules):
                part, error = self.tightest(claim, name), self.equality(claim, name)
                id = f"gif/{claim}/{name}"
                record.add(f"{id}/slack", part.slack, unit="1", better="check", at_least=part.least, run=run)
                if error is not None:
                    record.add(f"{id}/equality", error, unit="1", better="check", at_most=EQUAL, run=run)
