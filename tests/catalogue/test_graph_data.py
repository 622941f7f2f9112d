"""Points with labels on a graph: exact draws, a user's rows, and the Gaussian that no Gaussian beats."""

import math

import numpy as np
import pytest
import torch

from cases import generator
from pushforward.catalogue import graph_data
from pushforward.catalogue.graph_data import LabelledGaussian, frequent, generated, load, own
from pushforward.datasets.series import series_on_graph
from pushforward.errors import InputError
from pushforward.metrics import kl_to_truth

FRONT = [1, 1, 0, 1, 0, 0, 0, 1, 0, 1]


def table(periods=400, sites=4):
    steps = torch.randn(periods, sites, generator=generator(2), dtype=torch.float64)
    return (100 * (0.6 * steps).exp()).numpy()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "My Sites_2.csv"
    np.savetxt(path, table(), delimiter=",", header="a,b,c,d", comments="")
    return path


def test_the_generated_series_is_drawn_from_its_law():
    data = generated(300, 200)
    assert (data.name, data.nodes, data.features) == ("graph", 10, 2)
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [300, 200, 200]
    assert data.adjacency == data.law.adjacency
    assert torch.equal(data.labels(data.split.test), data.split.test[:, 20:])
    assert load("", 300, 200).split.sha256 == data.split.sha256


def test_draws_given_labels_are_those_of_the_law():
    data = generated(10, 10)
    points = data.given(FRONT, 4000)
    assert torch.equal(data.labels(points), torch.tensor(FRONT).float().expand(4000, -1))
    assert torch.equal(points, data.given(FRONT, 4000)) and not torch.equal(points, data.given(FRONT, 4000, seed=1))
    entropy = data.law.conditional_entropy(torch.tensor(FRONT))
    surprise = -data.law.log_prob(points.double())
    assert abs(float(surprise.mean()) - entropy) < 4 * float(surprise.std()) / math.sqrt(4000)


def test_a_users_series_has_the_name_of_its_file_and_gives_its_own_rows(file):
    data = own(file)
    assert data.name == "my-sites-2" and data.law is None and (data.nodes, data.features) == (4, 2)
    assert torch.equal(data.split.train, series_on_graph(table()).split.train)
    assert load(str(file), 1, 1).split.sha256 == data.split.sha256
    first, second = frequent(data)
    labels = data.labels(data.split.test)
    rows, counts = labels.unique(dim=0, return_counts=True)
    for wanted, rank in ((first, -1), (second, -2)):
        points = data.given(wanted)
        assert len(points) == sorted(counts.tolist())[rank]
        assert (data.labels(points) == torch.tensor(wanted)).all()


@pytest.mark.parametrize("wanted", [[1, 0], [0.5] * 10, [2] * 10])
def test_labels_of_another_form_are_named(wanted):
    with pytest.raises(InputError, match="labels are .*, expected 10 numbers 0 or 1"):
        generated(10, 10).given(wanted)


def test_labels_that_no_row_has_are_named(file, monkeypatch):
    monkeypatch.setattr(graph_data, "LEAST_ROWS", 1000)
    with pytest.raises(InputError, match=r"test rows have the labels \[0, 0, 0, 1\], expected 1000 or more"):
        own(file).given([0, 0, 0, 1])


def test_no_gaussian_given_labels_is_nearer_than_the_one_with_the_laws_moments():
    data = generated(10, 6000)
    best = LabelledGaussian(data)
    points = data.given(FRONT, 6000).double()
    x, found = points[:, :20], best.log_prob(points)
    fitted = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x)
    assert abs(float((found - fitted).mean())) < 0.2  # the fit has seen these very points
    calm = data.given([0] * 10, 6000)
    gap = kl_to_truth(data.law, best, calm)
    mean, covariance = data.law.moments(torch.zeros(1, 10))
    closed = 0.5 * float(torch.logdet(covariance[0])) + 10 * (math.log(2 * math.pi) + 1)
    exact = closed - data.law.conditional_entropy(torch.zeros(10))
    assert gap.value == pytest.approx(exact, abs=5 * gap.se) and exact > 1
    for scale in (0.9, 1.1):
        other = torch.distributions.MultivariateNormal(mean[0], scale * covariance[0])
        assert float(other.log_prob(calm[:, :20].double()).mean()) < float(best.log_prob(calm.double()).mean())


def test_a_users_gaussian_is_least_squares(file):
    data = own(file)
    train = data.split.train.double()
    x, design = train[:, :8], torch.cat([torch.ones(len(train), 1).double(), train[:, 8:]], 1)
    slopes = torch.linalg.solve(design.T @ design, design.T @ x)
    rest = x - design @ slopes
    expected = torch.distributions.MultivariateNormal(design @ slopes, rest.T @ rest / len(rest)).log_prob(x)
    found = LabelledGaussian(data).log_prob(data.split.train.double())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
    assert LabelledGaussian(data).log_prob(data.split.train).dtype == torch.float32
