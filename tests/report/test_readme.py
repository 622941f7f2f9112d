import json

import pytest

from pushforward.errors import InputError
from pushforward.report import page, publish, readme
from pushforward.report.results import Recorder


@pytest.fixture
def shown(results, checkout):
    """The README after a publication from two commits."""
    for path, commit in zip(sorted((results / "runs").glob("*.json")), "dc", strict=True):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": commit * 40, "dirty": False}))
    page.build("smoke")
    publish.publish("smoke")
    readme.update_readme()
    return checkout / "README.md"


def test_what_stands_between_the_markers_is_replaced(shown):
    text = shown.read_text()
    assert text.startswith("before\n\n<!-- results:start -->\n") and text.endswith("<!-- results:end -->\n\nafter\n")
    assert "\nold\n" not in text
    readme.update_readme()
    assert shown.read_text() == text


def test_the_heading_names_every_commit_the_time_and_the_checks(shown):
    text = shown.read_text()
    assert "**Profile `smoke`** (commit cccccccccc, dddddddddd, " in text
    assert ", 3.5 CPU-minutes of training; 1 of 1 required checks hold)" in text


def test_numbers_with_a_published_one_come_first_and_levels_are_folded(shown):
    first, folded = shown.read_text().split("<details>", 1)
    line = "| `jko/rose/jko-iflow/nll-excess` | 0.15 | 0.110 ± 0.010 (3) | nats | better | 01-toy |"
    assert line in first and line in folded
    assert "| 2.64 (not comparable) | 2.5 | nats | - |" in first
    assert "2.64" not in folded  # the excess is the level where the truth is known
    assert "<summary>Every level of <code>jko</code>: " in folded and "</details>" in folded
    assert "round-trip" not in first + folded
    assert "jko-iflow/seconds" not in first + folded  # neither published nor a level


def test_one_level_a_method_by_topic(results):
    recorder = Recorder("01-toy", "smoke")
    ids = ["jko/moons/ours/nll", "jko/moons/ours/nll-excess", "gif/moons/ours/nll", "jko/digits/ours/nll"]
    rows = [recorder.add(id, 1.0) for id in ids] + [recorder.add("jko/digits/ours/mmd", 1.0, unit="1")]
    levels = ["gif/moons/ours/nll", "jko/moons/ours/nll-excess", "jko/digits/ours/nll"]
    assert [row.id for row in readme._levels(rows)] == levels


def test_a_readme_without_markers_is_refused(checkout):
    (checkout / "README.md").write_text("<!-- results:end --> <!-- results:start -->")
    with pytest.raises(InputError, match="README.md lacks"):
        readme.update_readme()
