"""The papers' numbers, read from ``data/published/<bibkey>.csv`` (id, value, unit, table, row, note)."""

import csv
from dataclasses import dataclass
from pathlib import Path

from pushforward import paths
from pushforward.errors import InputError

COLUMNS = ("id", "value", "unit", "table", "row", "note")
OTHER_LAW = "not comparable"


@dataclass(frozen=True)
class Published:
    """One published number and where it stands."""

    id: str
    value: float
    unit: str
    table: str
    row: str
    note: str
    bibkey: str

    @property
    def source(self) -> str:
        """Where the number stands: ``xu2023, Fig. 3, JKO-iFlow``."""
        return f"{self.bibkey}, {self.table}, {self.row}"

    @property
    def comparable(self) -> bool:
        """False where the note begins with "not comparable": the number is shown, and no verdict is drawn from it."""
        return not self.note.startswith(OTHER_LAW)


def load_published(folder: Path | None = None) -> dict[str, Published]:
    """Every published number by its id, from all CSV files in ``folder`` (default ``data/published``).

    Raises:
        InputError: wrong columns, a value that is no number, or an id that stands twice.
    """
    found: dict[str, Published] = {}
    for path in sorted((folder or paths.published()).glob("*.csv")):
        for number in _read(path):
            if number.id in found:
                raise InputError(f"{number.id} stands in {found[number.id].bibkey}.csv and in {path.name}: keep one")
            found[number.id] = number
    return found


def _read(path: Path) -> list[Published]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path.name} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}")
        try:
            return [Published(**{**row, "value": float(row["value"])}, bibkey=path.stem) for row in reader]
        except (TypeError, ValueError) as error:
            raise InputError(f"{path.name}, near line {reader.line_num}: {error}") from error
