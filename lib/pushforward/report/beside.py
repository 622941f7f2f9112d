"""Measured beside published, in the layout of the papers' tables."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

ABSENT = "data absent: make data"
COEFFICIENT = re.compile(r"(?P<method>.+)-(?P<coefficient>[01]-\d+)")  # impflow-0-99
UNBOUNDED = "none"  # the column of methods without a coefficient


class Number(Protocol):
    """A row of results.csv, or a published number."""

    id: str
    value: float


Sources = Mapping[str, Iterable[Number]]  # by what the column "from" shall say


def by_case(
    sources: Sources, quantity: str, cases: Sequence[str], absent: Collection[str] = ()
) -> list[dict[str, Any]]:
    """A row a method and source, a column a case, of the implicit flows' ``quantity``; unknown numbers are "".

    Methods at a Lipschitz coefficient of their own are left to ``by_coefficient``. Where nothing was measured, cases
    that are ``absent`` say what to do.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for source, case, method, value in _told(sources, quantity):
        if case in cases and not COEFFICIENT.fullmatch(method):
            start = {"method": method, "from": source} | {name: _blank(source, name in absent) for name in cases}
            rows.setdefault((method, source), start)[case] = value
    return list(rows.values())


def by_coefficient(sources: Sources, quantity: str) -> list[dict[str, Any]]:
    """A row a case, method and source, a column a Lipschitz coefficient, the largest first; unknown numbers are ""."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns = set()
    for source, case, name, value in _told(sources, quantity):
        method, column = _parted(name)
        columns.add(column)
        rows.setdefault((case, method, source), {})[column] = value
    order = sorted(columns, key=lambda column: (column != UNBOUNDED, column), reverse=True)
    heads = ("case", "method", "from")
    return [
        dict(zip(heads, key, strict=True)) | {name: row.get(name, "") for name in order} for key, row in rows.items()
    ]


def lines(source: str, numbers: Iterable[Number], quantity: str) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """By "case, source" and method, (c, number) for a figure; methods without a coefficient stand at c = 1."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for told, case, name, value in _told({source: numbers}, quantity):
        method, column = _parted(name)
        place = 1.0 if column == UNBOUNDED else float(column)
        panels.setdefault(f"{case}, {told}", {}).setdefault(method, []).append((place, value))
    return panels


def _parted(name: str) -> tuple[str, str]:
    """Method and coefficient: impflow and 0.99 of impflow-0-99."""
    match = COEFFICIENT.fullmatch(name)
    return (match["method"], match["coefficient"].replace("-", ".")) if match else (name, UNBOUNDED)


def _told(sources: Sources, quantity: str) -> Iterator[tuple[str, str, str, float]]:
    """Source, case, method and value of each number of the implicit flows."""
    for source, numbers in sources.items():
        for number in numbers:
            topic, case, method, found = number.id.split("/")
            if topic == "implicit" and found == quantity:
                comparable = getattr(number, "comparable", True)
                yield source if comparable else f"{source}, not comparable", case, method, number.value


def _blank(source: str, absent: bool) -> str:
    return ABSENT if absent and source == "measured" else ""
