import numpy as np
import pytest
import torch

from pushforward.datasets.series import ramps, read_series, series_on_graph, similarity_graph
from pushforward.errors import DataError, InputError


def table(periods=80, sites=4, seed=0):
    return 100 * np.random.default_rng(seed).lognormal(0, 0.8, (periods, sites))


@pytest.mark.parametrize(
    ("current", "previous", "label"),
    [
        (201, 100, 1),  # more than +100 %
        (200, 100, 0),
        (49, 100, 1),  # less than −50 %
        (50, 100, 0),
        (34, 39, 1),  # both very low
        (36, 39, 0),
        (34, 41, 0),
        (0, 0, 1),
        (120, 0, 1),
    ],
)
def test_labels_by_the_rule(current, previous, label):
    one, two = (torch.tensor([[float(value)]]).double() for value in (current, previous))
    assert ramps(one, two).item() == label


def test_rows_are_pairs_of_neighbouring_periods_with_their_labels():
    values = table()
    series = series_on_graph(values)
    assert series.nodes == 4 and series.split.dim == 12
    parts = [series.split.train, series.split.val, series.split.test]
    assert [len(part) for part in parts] == [54, 5, 20]  # of 79: three quarters, its last tenth held out
    raw = series.split.preprocessing.inverse(torch.cat(parts).double()).numpy()
    np.testing.assert_allclose(raw[:, :8:2], values[1:], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(raw[:, 1:8:2], values[:-1], rtol=1e-4, atol=1e-3)
    expected = ramps(torch.as_tensor(values[1:]), torch.as_tensor(values[:-1]))
    np.testing.assert_allclose(raw[:, 8:], expected, atol=1e-6)
    seen = torch.cat(parts[:2])[:, :8]
    torch.testing.assert_close(seen.mean(0), torch.zeros(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(8), rtol=1e-5, atol=0)


def test_test_rows_do_not_touch_the_recipe():
    values = table()
    other = values.copy()
    other[62:] *= 7
    first, second = series_on_graph(values), series_on_graph(other)
    assert torch.equal(first.split.train, second.split.train) and first.adjacency == second.adjacency
    assert not torch.equal(first.split.test, second.split.test)


def test_sites_that_ramp_together_are_linked():
    labels = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]]).double()
    a = torch.tensor(similarity_graph(labels))
    assert torch.equal(a, a.T) and not a.diagonal().any()
    assert a[0].tolist() == [0, 1, 1, 0, 0] and a[3, 4] == 1
    assert a[2, 3] == a[3, 2] == 1 and a[2, 4] == 1  # the third site is the nearest that the last two have left


def test_a_file_is_read(tmp_path):
    values = table()
    np.savetxt(tmp_path / "sites.csv", values, delimiter=",", header="a,b,c,d", comments="")
    found = read_series(tmp_path / "sites.csv")
    torch.testing.assert_close(found.split.train, series_on_graph(values).split.train)
    assert found.split.name == "sites"


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing.csv cannot be read"):
        read_series(tmp_path / "nothing.csv")
    (tmp_path / "words.csv").write_text("a,b\nsome,words\n")
    with pytest.raises(DataError, match="words.csv cannot be read .*expected a line of names"):
        read_series(tmp_path / "words.csv")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (table(30), r"values have shape \(30, 4\), expected 40 periods and 3 sites or more"),
        (table(80, 2), r"shape \(80, 2\)"),
        (np.zeros(80), r"shape \(80,\)"),
        (np.array([["a"] * 3] * 50), "values are no numbers"),
        (np.where(np.arange(320).reshape(80, 4) == 9, np.nan, 1.0), r"values\[2, 1\] is nan"),
        (np.where(np.arange(320).reshape(80, 4) == 9, -1.0, 1.0), r"values\[2, 1\] is -1.0"),
        (np.ones((80, 4)), "expected as many scales, finite and positive"),
    ],
)
def test_bad_input_is_named(values, message):
    with pytest.raises(InputError, match=message):
        series_on_graph(values)
