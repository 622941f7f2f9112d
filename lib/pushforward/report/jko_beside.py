"""Numbers of JKO-iFlow and its baselines, measured beside published, in the layout of the paper's tables."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from pushforward import paths
from pushforward.report.beside import ABSENT, Number, Sources
from pushforward.report.published import Published
from pushforward.report.results import Row, read_rows

RATES = ("Table A.3", "Table A.4")  # of the noise of ScoreSDE
REAL = "02-jko-real-data"  # the notebook that trains JKO-iFlow on real data for as long as it is worth


def by_method(
    sources: Sources, cases: Sequence[str], methods: Sequence[str], suffix: str = "", absent: Collection[str] = ()
) -> list[dict[str, Any]]:
    """A row a case and source, a column a method, of the NLL of ``method + suffix`` in nats; unknown numbers are "".

    A case that is ``absent`` says what to do; a source that has nothing on a case has no row, but for the first, which
    is what was measured.
    """
    rows = []
    for case in cases:
        for place, (source, numbers) in enumerate(sources.items()):
            known = _known(numbers)
            found = {method: known.get((case, method + suffix), "") for method in methods}
            if not place and case in absent:
                found = dict.fromkeys(methods, ABSENT)
            if not place or any(value != "" for value in found.values()):
                rows.append({"case": case, "from": source} | found)
    return rows


def of_table(known: Iterable[Published], table: str) -> list[Published]:
    """The published numbers that stand in one table of their paper."""
    return [number for number in known if number.table == table]


def measured_elsewhere(profile: str) -> list[Row]:
    """The rows that notebook 02 has written in this profile; none where it has not run."""
    file = paths.results(profile) / "rows" / f"{REAL}.csv"
    return read_rows(file) if file.is_file() else []


def published_sensitivity(known: Iterable[Published]) -> list[dict[str, Any]]:
    """What the paper says on the noise rates of ScoreSDE (Tables A.3, A.4)."""
    return [
        {"case": case, "method": method, "NLL": number.value, "from": number.source, "note": number.note}
        for number in known
        for topic, case, method, quantity in [number.id.split("/")]
        if topic == "jko" and quantity == "nll" and method.startswith("score-sde") and number.table in RATES
    ]


def published_inversion(known: Iterable[Published]) -> list[dict[str, Any]]:
    """The inversion errors of the paper's Table 1."""
    return [
        {"case": case, "method": method, "published error": number.value, "from": number.source}
        for number in known
        for topic, case, method, quantity in [number.id.split("/")]
        if topic == "jko" and quantity == "inversion-error"
    ]


def _known(numbers: Iterable[Number]) -> dict[tuple[str, str], float]:
    return {(case, method): value for case, method, value in _nlls(numbers)}


def _nlls(numbers: Iterable[Number]) -> Iterator[tuple[str, str, float]]:
    for number in numbers:
        topic, case, method, quantity = number.id.split("/")
        if topic == "jko" and quantity == "nll":
            yield case, method, number.value
