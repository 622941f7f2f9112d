"""Tables of sets of images: what is absent is named, and a verdict is drawn from a true FID alone."""

import pytest

from pushforward import datasets
from pushforward.catalogue import latent_tables
from pushforward.errors import DataError, InputError
from pushforward.report.results import Recorder


class Case:
    """Takes the place of a latent case whose FID is 9, or cannot be had."""

    def __init__(self, name, problem=None):
        self.name, self.problem, self.asked = name, problem, []

    def record_fid(self, record, run, count, weights):
        self.asked.append((count, weights))
        if self.problem:
            raise self.problem
        record.add(f"jko/{self.name}/jko-iflow/fid", [8.0, 10.0], unit="1", run=run)
        return [8.0, 10.0]


@pytest.fixture
def here(monkeypatch):
    """MNIST and CIFAR-10 are there, ImageNet is not."""
    monkeypatch.setattr(datasets, "available", lambda name, profile: name != "imagenet-32")


def fids(cases, count=500, profile="paper"):
    record = Recorder("03-jko-latent-images", profile)
    rows = latent_tables.record_fids(cases, record, "run", profile, count, "w.pth")
    return record, {row["images"]: row for row in rows}


def test_the_papers_sets():
    assert latent_tables.published_sets() == ["mnist", "cifar-10", "imagenet-32"]


def test_absent_sets_name_their_command(here):
    assert latent_tables.data_table(["digits", "imagenet-32"], "paper") == [
        {"images": "digits", "status": "present"},
        {"images": "imagenet-32", "status": "data absent: make data SETS=imagenet-32"},
    ]


def test_what_is_here_depends_on_the_profile(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "available", lambda *arguments: bool(asked.append(arguments)))
    latent_tables.data_table(["mnist"], "paper")
    assert asked == [("mnist", "paper")]


def test_a_true_fid_stands_beside_the_papers_and_is_judged(here):
    case = Case("mnist")
    record, rows = fids({"mnist": case})
    assert rows["mnist"] == {"images": "mnist", "FID": 9.0, "published": 7.95}
    assert case.asked == [(500, "w.pth")]
    (row,) = record.rows
    assert (row.id, row.published, row.verdict) == ("jko/mnist/jko-iflow/fid", 7.95, "equal")  # 9 ± 1


def test_without_a_fid_there_is_no_row_of_results(here):
    record, rows = fids({"mnist": Case("mnist")}, count=0, profile="quick")
    assert record.rows == [] and rows["mnist"]["FID"] == "not measured in the quick profile"
    assert rows["cifar-10"] == {"images": "cifar-10", "FID": "not measured in the quick profile", "published": 29.1}
    assert rows["imagenet-32"]["FID"] == "data absent: make data SETS=imagenet-32"


@pytest.mark.parametrize("problem", [InputError("pip install it"), DataError("no weights")])
def test_what_is_missing_stops_nothing_and_is_told(here, problem):
    record, rows = fids({"mnist": Case("mnist", problem), "cifar-10": Case("cifar-10")})
    assert rows["mnist"]["FID"] == f"not measured: {problem}"
    assert [row.id for row in record.rows] == ["jko/cifar-10/jko-iflow/fid"]
