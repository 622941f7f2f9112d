import re
import subprocess

from pushforward import paths
from pushforward.errors import InputError
from pushforward.surroundings import commit_and_dirt, cpu_model, surroundings


def test_commit_and_dirt(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words],
            check=True,
            capture_output=True,
        )

    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    commit, dirty = commit_and_dirt(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}", commit)
    assert dirty is False
    (tmp_path / "a").write_text("2")
    assert commit_and_dirt(tmp_path) == (commit, True)


def test_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_and_dirt(tmp_path) == ("unknown", None)


def test_not_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_and_dirt(tmp_path) == ("unknown", None)


def test_outside_a_checkout_the_rest_is_still_told(monkeypatch):
    def nowhere():
        raise InputError("no checkout")

    monkeypatch.setattr(paths, "root", nowhere)
    found = surroundings()
    assert (found["commit"], found["dirty"], found["constraints_sha256"]) == ("unknown", None, None)
    assert found["cpu"] == cpu_model() != ""
    assert found["threads"] >= 1
