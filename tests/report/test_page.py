"""The page, parsed as HTML: its verdicts are those of results.csv, every link and image leads to a file."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pushforward.report import Recorder, page
from pushforward.report.results import read_rows
from pushforward.report.sections import words

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Every tag with its attributes, the text, and whether the tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data + " "

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attrs.get(attribute)]


@pytest.fixture
def built(results: Path) -> Reader:
    path, _ = page.build("smoke")
    return Reader(path.read_text())


def test_every_tag_is_closed(built):
    assert built.open == []


def test_verdicts_are_those_of_the_csv(built, results):
    shown = {attrs["id"]: attrs["data-verdict"] for _, attrs in built.tags if "data-verdict" in attrs}
    rows = read_rows(results / "results.csv")
    assert shown == {row.id: row.verdict for row in rows}
    assert set(shown.values()) == {"better", "worse", "holds", "-"}


def test_every_image_and_link_leads_to_a_file_or_an_anchor(built, results):
    anchors = set(built.values("id"))
    targets = built.values("src") + built.values("href")
    assert any(target.endswith(".png") for target in targets)
    for target in targets:
        assert (target[1:] in anchors) if target.startswith("#") else (results / target).is_file(), target


def test_nothing_is_loaded_from_elsewhere(results):
    path, _ = page.build("smoke")
    html = path.read_text()
    assert "://" not in html
    assert "<script" not in html
    assert str(results) not in html


def test_it_shows_the_numbers_side_by_side(built):
    text = " ".join(built.text.split())
    assert "0.110 ± 0.010 (3)" in text
    assert "−0.04" in text  # 0.11 - 0.15
    assert "not run" in text and "0.46" in text  # the paper's other method of the same case
    assert "−0.14" not in text  # no difference between numbers of two laws
    assert "another picture" in text
    assert "required: at most 1e-05" in text
    assert "The petals stay <apart>." in text
    assert "KL falls." in text
    assert "JKO in 2-D" in text and " Does it work? " in text


# --- benchmarks -------------------------------------------------------------------------------------------------------


def links_lead_to_files(reader: Reader, results: Path) -> bool:
    return all((results / link).is_file() for link in reader.values("href") if not link.startswith("#"))


def test_benchmarks_stand_in_a_section_of_their_own(results, bench):
    record = bench / "runs/99-peers.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"commit": "b" * 40, "dirty": True, "cpu": "Abacus"}))
    path, _ = page.build("smoke")
    reader = Reader(path.read_text())
    text = " ".join(reader.text.split())
    assert reader.open == [] and "#benchmarks" in reader.values("href")
    assert "JKO rose NSF NLL excess at 60s 0.07 nats one seed" in text
    assert "JKO rose JKO-iFlow NLL excess at 60s 0.31 nats one seed" in text
    assert "commit bbbbbbbbbb with local changes, Abacus, " in text and "published with the checkout" not in text
    assert {"../bench/peers.csv", "../bench/runs/99-peers.json"} <= set(reader.values("href"))
    assert links_lead_to_files(reader, results)


def test_without_own_benchmarks_the_published_ones_are_shown_as_such(results, bench, checkout):
    (checkout / "data/results").mkdir()
    bench.rename(checkout / "data/results/bench")
    path, _ = page.build("smoke")
    reader = Reader(path.read_text())
    assert "published with the checkout, not measured in it" in reader.text
    assert "../../data/results/bench/peers.csv" in reader.values("href") and links_lead_to_files(reader, results)


def test_a_benchmark_without_record_says_so(results, bench):
    (bench / "runs/99-peers.json").unlink()
    path, _ = page.build("smoke")
    reader = Reader(path.read_text())
    assert "no record of how it was measured" in reader.text and links_lead_to_files(reader, results)


def test_no_benchmarks_no_section(built):
    assert "benchmarks" not in built.values("id")


# --- words, stand-ins, verdicts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "shown"),
    [
        ("jko-iflow-preconditioned", "JKO-iFlow preconditioned"),
        ("ot-flow-fixed-budget", "OT-Flow fixed budget"),
        ("nll-excess", "NLL excess"),
        ("8-gaussians", "8 Gaussians"),
        ("round-trip", "round trip"),
        ("jkot", "jkot"),
    ],
)
def test_words(slug, shown):
    assert words(slug) == shown


def test_stand_in_data_is_announced_and_marked(built, results):
    text = " ".join(built.text.split())
    assert "Stand-in data." in text and "(patches for bsds300)" in text
    assert text.count("stand-in") >= 2
    record = results / "runs/01-patches.json"
    record.write_text(record.read_text().replace('"bsds300"', "null"))
    path, _ = page.build("smoke")
    assert "Stand-in data" not in path.read_text()


def test_verdict_line_is_on_the_page_and_beside_it(built, results):
    line = (results / "verdict.txt").read_text().strip()
    assert line == (
        "PASS: 1 of 1 required checks hold; against the papers 1 better, 0 equal, 1 worse; 1 of 1 notebooks done "
        "(smoke profile)"
    )
    assert line in built.text


def test_a_failing_check_is_named(results, capsys):
    record = Recorder("02-more", "smoke")
    record.add("jko/rings/jko-iflow/round-trip", 0.1, unit="1", better="check", at_most=1e-5)
    record.save()
    assert page.main(["smoke"]) == 0
    assert capsys.readouterr().out == "wrote results/smoke/index.html\n"
    line = (results / "verdict.txt").read_text()
    assert line.startswith("FAIL: 1 of 2 required checks hold")
    assert "failing: jko/rings/jko-iflow/round-trip" in line


def test_a_notebook_that_stopped_is_a_failure(results):
    (results / "nb/01-toy.partial.ipynb").write_text((results / "nb/01-toy.ipynb").read_text())
    path, summary = page.build("smoke")
    assert (summary.status, summary.stopped, summary.done, summary.missing) == ("FAIL", ["01-toy"], [], [])
    assert "cells so far" in path.read_text()


def test_a_notebook_that_never_ran_is_missing(results, checkout):
    (checkout / "notebooks/params/smoke/02-real.yml").write_text("")
    _, summary = page.build("smoke")
    assert (summary.status, summary.missing) == ("INCOMPLETE", ["02-real"])


def test_a_page_without_results_is_incomplete(checkout):
    path, summary = page.build("smoke")
    assert summary.status == "INCOMPLETE"
    assert Reader(path.read_text()).open == []


def test_a_method_that_was_measured_is_not_shown_as_published_only(results):
    path, _ = page.build("smoke")
    assert path.read_text().count("published only") == 1  # FFJORD's excess
    record = Recorder("01-ffjord", "smoke")
    record.add("jko/rose/ffjord/nll-excess", 0.4)
    record.save()
    path, _ = page.build("smoke")
    assert "published only" not in path.read_text()


def test_two_notebooks_with_one_id_are_an_error(results, capsys):
    record = Recorder("02-more", "smoke")
    record.add("jko/rose/jko-iflow/nll", 2.5)
    record.save()
    assert page.main(["smoke"]) == 1
    assert "comes from 01-toy and from 02-more" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is parsed above, but not seen in a browser")
def test_a_browser_shows_the_figure(results, tmp_path):
    path, _ = page.build("smoke")
    picture = tmp_path / "shot.png"
    subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
            *(f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1200,1600", f"--screenshot={picture}"),
            path.as_uri(),
        ],
        check=True,
        timeout=120,
        capture_output=True,
    )
    with Image.open(picture) as image:
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1200 * 1600)}
    assert colours.get((255, 0, 255), 0) > 10_000
