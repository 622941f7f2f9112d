"""The claims, each with what measures it; a study measures them once and records what holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import pandas as pd

from pushforward.catalogue.implicit_theorems import constructions, distance, roots, slopes
from pushforward.catalogue.implicit_theorems.parts import EQUAL, Part, Sizes
from pushforward.report.check import check_above
from pushforward.report.results import Recorder


@dataclass(frozen=True)
class Claim:
    """A claim of the note and what measures it."""

    title: str
    measure: Callable[[Sizes], list[Part]]


CLAIMS: dict[str, Claim] = {
    "t1": Claim("one root, and an invertible map", roots.one_root),
    "l1": Claim("residual maps are strongly monotone, not the other way round", slopes.monotone),
    "slopes": Claim("the two families on the line", slopes.on_the_line),
    "t2": Claim("strongly monotone maps are implicit blocks", constructions.monotone_maps),
    "c1": Claim("two residual blocks are one implicit block", constructions.two_residual_blocks),
    "t3": Claim("residual blocks stay away from steep maps", distance.steep_map),
    "r3": Claim("three residual blocks need not be one implicit block", constructions.witness),
    "intervals": Claim("slopes at a fixed coefficient", slopes.fixed_coefficient),
    "certificate": Claim("no iterate is farther off than certified", roots.certificates),
}


class Study:
    """The claims at some sizes. Each is measured when it is first asked for.

    Args:
        extra: parts of trained flows by claim, ``LineFit.parts`` for T3.
    """

    def __init__(self, sizes: Sizes, extra: Sequence[Part] = ()) -> None:
        self.sizes, self.extra = sizes, list(extra)
        self.seconds: dict[str, float] = {}
        self._parts: dict[str, list[Part]] = {}

    def parts(self, claim: str) -> list[Part]:
        """Every part of a claim."""
        if claim not in self._parts:
            start = time.process_time()
            self._parts[claim] = CLAIMS[claim].measure(self.sizes)
            self.seconds[claim] = time.process_time() - start
        return self._parts[claim] + [part for part in self.extra if part.claim == claim]

    def methods(self, claim: str) -> list[str]:
        """The methods of which the claim speaks."""
        return list(dict.fromkeys(part.method for part in self.parts(claim)))

    def tightest(self, claim: str, method: str) -> Part:
        """The part, equalities aside, that is nearest to failing: its slack is the claim's."""
        parts = [part for part in self.parts(claim) if part.method == method and part.kind != "equality"]
        return min(parts, key=lambda part: part.slack - part.least if isfinite(part.slack) else -inf)

    def check(self, claim: str) -> None:
        """Print a line a statement that holds everywhere; the smallest slack of one that does not is in the error.

        Raises:
            AssertionError: a statement fails.
        """
        for statement, parts in self._by_statement(claim).items():
            check_above(f"{claim.upper()}, {statement}: slack", [part.slack for part in parts], parts[0].least)

    def table(self) -> pd.DataFrame:
        """A row a statement: whose it is, for which methods, and its smallest slack."""
        rows = []
        for claim in CLAIMS:
            for statement, parts in self._by_statement(claim).items():
                methods = ", ".join(dict.fromkeys(part.method for part in parts))
                row = {"claim": claim.upper(), "statement": statement, "source": parts[0].source, "of": methods}
                rows.append(row | {"kind": parts[0].kind, "slack": min(part.slack for part in parts)})
        return pd.DataFrame(rows)

    def _by_statement(self, claim: str) -> dict[str, list[Part]]:
        found: dict[str, list[Part]] = {}
        for part in self.parts(claim):
            found.setdefault(part.statement, []).append(part)
        return found

    def record(self, record: Recorder, run: str) -> None:
        """``implicit/<claim>/<method>/slack`` for every claim and method, and ``.../equality`` where there is one."""
        for claim in CLAIMS:
            for method in self.methods(claim):
                part, id = self.tightest(claim, method), f"implicit/{claim}/{method}"
                record.add(f"{id}/slack", part.slack, unit="1", better="check", at_least=part.least, run=run)
                gaps = [p for p in self.parts(claim) if p.method == method and p.kind == "equality"]
                if gaps:
                    error = max(p.tolerance - p.slack for p in gaps)
                    record.add(f"{id}/equality", error, unit="1", better="check", at_most=EQUAL, run=run)
