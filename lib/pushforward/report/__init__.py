"""Results in, figures, tables and the page out. Knows files and numbers; never trains."""

from pushforward.report import style
from pushforward.report.check import check, check_above, check_below
from pushforward.report.provenance import Run
from pushforward.report.results import Recorder
from pushforward.report.style import savefig
from pushforward.report.tables import save_table

__all__ = ["Recorder", "Run", "check", "check_above", "check_below", "save_table", "savefig", "style"]
