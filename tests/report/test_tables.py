import pandas as pd
import pytest

from pushforward.errors import InputError
from pushforward.report import save_table
from pushforward.report.tables import latex, markdown

FRAME = pd.DataFrame({"law_a": ["rose|x", "50 %"], "NLL": [2.123456789, None], "n": [3, 4]})


def test_markdown_is_exact():
    assert markdown(FRAME) == (
        "| law_a | NLL | n |\n| --- | ---: | ---: |\n| rose\\|x | 2.123 | 3 |\n| 50 % |  | 4 |\n"
    )


def test_latex_is_booktabs_and_escaped():
    text = latex(FRAME, caption="A caption")
    assert text.startswith("\\begin{table}") and "\\caption{A caption}" in text
    assert "\\toprule" in text and "\\bottomrule" in text
    assert "\nlaw\\_a & NLL & n \\\\" in text
    assert "50 \\% &  & 4 \\\\" in text
    assert "2.123 " in text and "2.1234" not in text
    assert latex(FRAME).startswith("\\begin{tabular}")


def test_three_files(checkout):
    save_table(FRAME, "01-a", "smoke", caption="A caption")
    folder = checkout / "results/smoke/tables"
    assert (folder / "01-a.csv").read_text() == "law_a,NLL,n\nrose|x,2.12346,3\n50 %,,4\n"
    assert (folder / "01-a.md").read_text().startswith("A caption\n\n| law_a |")
    assert (folder / "01-a.tex").read_text() == latex(FRAME, "A caption")


def test_a_malformed_name_is_refused(checkout):
    with pytest.raises(InputError, match="is no name"):
        save_table(FRAME, "../x", "smoke")
