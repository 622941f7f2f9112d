import json
import shutil

import pytest
from PIL import Image

from pushforward import paths
from pushforward.errors import InputError
from pushforward.report import page, publish


def settle(results, dirty=False):
    """Write into every record that its tree was clean (or not), and make the page."""
    mark(results, dirty)
    page.build("smoke")


def mark(folder, dirty=False):
    for path in (folder / "runs").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "c" * 40, "dirty": dirty}))


def test_a_clean_run_is_copied_and_shown(results, checkout):
    settle(results)
    assert publish.main(["smoke"]) == 0
    target = checkout / "data/results/smoke"
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {
        "results.csv",
        *(f"tables/01-rose-kl.{kind}" for kind in ("csv", "md", "tex")),
        "figures/01-rose-blocks.png",
        "runs/01-patches.json",
        "runs/01-rose.json",
    }
    assert "**Profile `smoke`**" in (checkout / "README.md").read_text()


def test_publishing_again_removes_what_is_gone(results, checkout):
    settle(results)
    publish.main(["smoke"])
    (results / "figures/01-rose-blocks.png").unlink()
    publish.main(["smoke"])
    assert not (checkout / "data/results/smoke/figures").exists()


def test_the_benchmarks_go_along(results, bench, checkout):
    settle(results)
    mark(bench)
    (bench / "notes.txt").write_text("not a table")
    published = publish.publish("smoke")
    target = checkout / "data/results/bench"
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {"peers.csv", "runs/99-peers.json"}
    assert (target / "peers.csv").read_text() == (bench / "peers.csv").read_text()
    assert {bench / name for name in found} < set(published)
    shutil.rmtree(bench)
    publish.publish("smoke")
    assert target.is_dir()  # a later publish without benchmarks leaves the published ones


def test_benchmarks_on_a_changed_tree_are_refused_before_anything_is_copied(results, bench, checkout):
    settle(results)
    mark(bench, dirty=True)
    with pytest.raises(InputError, match="changed or unknown commit: 99-peers"):
        publish.publish("smoke")
    assert not (checkout / "data/results").exists()


@pytest.mark.parametrize("dirty", [True, None])
def test_a_changed_or_unknown_commit_is_refused(results, checkout, dirty, capsys):
    settle(results, dirty)
    assert publish.main(["smoke"]) == 1
    assert "made on a changed or unknown commit: 01-patches, 01-rose" in capsys.readouterr().err
    assert not (checkout / "data/results").exists()


def test_a_flow_trained_on_a_changed_tree_is_refused(results):
    settle(results)
    path = results / "runs/01-rose.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained": [{"dirty": False}, {"dirty": True}]}))
    with pytest.raises(InputError, match="changed or unknown commit: 01-rose"):
        publish.publish("smoke")


def test_a_row_without_record_is_refused(results):
    settle(results)
    (results / "runs/01-rose.json").unlink()
    with pytest.raises(InputError, match="no provenance for jko/rose"):
        publish.publish("smoke")


def test_a_stopped_notebook_is_refused(results):
    settle(results)
    shutil.copy(results / "nb/01-toy.ipynb", results / "nb/01-toy.partial.ipynb")
    with pytest.raises(InputError, match="stopped: 01-toy"):
        publish.publish("smoke")


def test_five_megabytes_are_the_limit(results):
    settle(results)
    (results / "tables/01-huge.csv").write_bytes(bytes(5_100_000))
    with pytest.raises(InputError, match=r"5\.1 MB to publish, at most 5: the largest is 01-huge.csv"):
        publish.publish("smoke")
    assert not list(paths.committed_results().glob("*"))  # nothing is left half done


def test_pictures_are_published_in_256_colours_with_their_captions(results, checkout):
    settle(results)
    publish.publish("smoke")
    before, after = (
        Image.open(folder / "figures/01-rose-blocks.png") for folder in (results, checkout / "data/results/smoke")
    )
    assert after.mode == "P" and after.size == before.size
    assert after.text == before.text and "The petals stay" in str(after.text)
    assert after.convert("RGB").getpixel((3, 3)) == before.convert("RGB").getpixel((3, 3))
