"""A table in three forms: CSV for programs, Markdown for the forge, LaTeX for a paper."""

import math
from typing import Any

import pandas as pd

from pushforward import paths
from pushforward.files import write_atomic
from pushforward.report.provenance import check_name


def save_table(frame: pd.DataFrame, name: str, profile: str, caption: str = "", precision: int = 4) -> None:
    """Write ``results/<profile>/tables/<name>.{csv,md,tex}``; the index is left out.

    Args:
        name: ``<notebook number>-<words>``, which puts the table into the notebook's section of the page.
        precision: significant digits in Markdown and LaTeX; the CSV keeps six.

    Raises:
        InputError: a name of another form.
    """
    folder = paths.results(profile) / "tables"
    check_name(name)
    write_atomic(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_atomic(folder / f"{name}.md", (f"{caption}\n\n" if caption else "") + markdown(frame, precision))
    write_atomic(folder / f"{name}.tex", latex(frame, caption, precision))


def markdown(frame: pd.DataFrame, precision: int = 4) -> str:
    """The frame as a Markdown table; columns of numbers are right-aligned."""
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    lines = [
        [str(column) for column in frame.columns],
        ["---:" if right else "---" for right in numeric],
        *([show(value, precision) for value in row] for row in frame.itertuples(index=False)),
    ]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def latex(frame: pd.DataFrame, caption: str = "", precision: int = 4) -> str:
    """The frame as a booktabs table, special characters escaped."""
    text = frame.map(lambda value: show(value, precision)).rename(columns=str)
    style = text.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    return style.to_latex(hrules=True, caption=caption or None, position_float="centering" if caption else None)


def show(value: Any, precision: int = 4) -> str:
    """``value`` as text: floats with ``precision`` significant digits, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.{precision}g}" if isinstance(value, float) else str(value)
