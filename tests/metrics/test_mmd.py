import importlib
import math

import pytest
import torch
from scipy.spatial.distance import pdist

from pushforward.errors import InputError
from pushforward.metrics.mmd import BANDWIDTHS, median_distance, mmd, mmd_test, mmd_tests, permutation_threshold
from pushforward.seeds import stream

float64 = torch.float64
WIDTH = 0.8
SHIFT = torch.tensor([0.5, -0.3], dtype=float64)
SCALE = torch.tensor([1.3, 0.6], dtype=float64)


def normal(n: int, generator: torch.Generator, dim: int = 2) -> torch.Tensor:
    return torch.randn(n, dim, dtype=float64, generator=generator)


def mean_kernel(shift: torch.Tensor, variance: torch.Tensor, width: float) -> float:
    """E k(x, y) where x − y is N(shift, diag variance): an integral of a product of Gaussians."""
    total = variance + width**2
    return float(width ** len(shift) / total.prod().sqrt() * torch.exp(-0.5 * (shift**2 / total).sum()))


def naive(x: torch.Tensor, y: torch.Tensor, width: float, unbiased: bool) -> float:
    """The definition, with double loops unrolled by broadcasting and no algebra."""

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * width**2))

    def within(a: torch.Tensor) -> float:
        k = kernel(a, a)
        return float(k[~torch.eye(len(a), dtype=torch.bool)].mean() if unbiased else k.mean())

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = stream(1, "mmd test")
    return normal(23, generator) + 5, normal(17, generator) * SCALE + SHIFT + 5


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 16, 40, 1000])
def test_equals_the_definition_in_chunks_of_any_size(pair, unbiased, chunk):
    assert mmd(*pair, WIDTH, unbiased, chunk) == pytest.approx(naive(*pair, WIDTH, unbiased), abs=1e-14)


def test_two_against_two_points_by_hand():
    x, y = torch.tensor([[0.0], [1.0]], dtype=float64), torch.tensor([[0.0], [2.0]], dtype=float64)
    one, two = math.exp(-1 / 8), math.exp(-4 / 8)  # distances 1 and 2 at width 2
    across = (1 + two + one + one) / 4
    assert mmd(x, y, 2.0) == pytest.approx(one + two - 2 * across, abs=1e-14)
    assert mmd(x, y, 2.0, unbiased=False) == pytest.approx((1 + one) / 2 + (1 + two) / 2 - 2 * across, abs=1e-14)


def test_biased_minus_unbiased_is_the_diagonal(pair):
    """Identity: biased − unbiased = (1 − U_x)/n + (1 − U_y)/m with U the mean of k over pairs of different points."""
    gap = sum((1 - torch.exp(-torch.pdist(z).square() / (2 * WIDTH**2)).mean().item()) / len(z) for z in pair)
    assert mmd(*pair, WIDTH, unbiased=False) - mmd(*pair, WIDTH) == pytest.approx(gap, abs=1e-14)


def test_unbiased_mean_is_the_population_value_of_two_gaussians():
    one = torch.ones(2, dtype=float64)
    truth = (
        mean_kernel(0 * SHIFT, 2 * one, WIDTH)
        + mean_kernel(0 * SHIFT, 2 * SCALE**2, WIDTH)
        - 2 * mean_kernel(SHIFT, one + SCALE**2, WIDTH)
    )
    generator = stream(2, "mmd test")
    values = torch.tensor(
        [mmd(normal(60, generator), normal(40, generator) * SCALE + SHIFT, WIDTH) for _ in range(200)]
    )
    se = float(values.std()) / math.sqrt(200)
    assert abs(float(values.mean()) - truth) < 4 * se
    assert 15 * se < truth  # so that a factor or a sign would show


def test_biased_mean_under_equality():
    n, m = 60, 40
    expected = (1 / n + 1 / m) * (1 - mean_kernel(0 * SHIFT, torch.full((2,), 2.0, dtype=float64), WIDTH))
    generator = stream(3, "mmd test")
    values = torch.tensor([mmd(normal(n, generator), normal(m, generator), WIDTH, unbiased=False) for _ in range(200)])
    se = float(values.std()) / math.sqrt(200)
    assert abs(float(values.mean()) - expected) < 4 * se
    assert 15 * se < expected


def test_float32_points_lose_nothing_beyond_their_rounding(pair):
    x, y = (z.float() for z in pair)
    assert mmd(x, y, WIDTH) == pytest.approx(naive(x.double(), y.double(), WIDTH, True), abs=1e-14)


def test_far_from_the_origin_nothing_cancels(pair):
    assert mmd(*(z + 1e6 for z in pair), WIDTH) == pytest.approx(mmd(*pair, WIDTH), abs=1e-9)


def test_symmetric_and_zero_for_equal_samples(pair):
    x, y = pair
    assert mmd(x, y, WIDTH) == pytest.approx(mmd(y, x, WIDTH), abs=1e-15)
    assert mmd(x, x.flip(0), WIDTH, unbiased=False) == pytest.approx(0, abs=1e-15)
    assert mmd(x, x, WIDTH) < 0  # the unbiased one may be negative, here (2/n)(U − 1)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("permutations, alpha, above", [(39, 0.05, 1), (19, 0.05, 0), (50, 0.1, 4), (49, 0.5, 24)])
def test_threshold_is_the_ranked_value_over_the_same_permutations(pair, unbiased, permutations, alpha, above):
    """As many permuted values lie above as alpha · (permutations + 1) − 1 holds whole numbers."""
    x, y = pair
    pooled, generator = torch.cat(pair), stream(4, "mmd test")
    values = []
    for _ in range(permutations):
        order = torch.randperm(len(pooled), generator=generator)
        values.append(naive(pooled[order[: len(x)]], pooled[order[len(x) :]], WIDTH, unbiased))
    found = permutation_threshold(x, y, WIDTH, alpha, permutations, stream(4, "mmd test"), unbiased, chunk=7)
    assert found == pytest.approx(sorted(values)[-1 - above], abs=1e-14)


@pytest.mark.parametrize("unbiased", [True, False])
def test_level_is_five_per_cent(unbiased):
    """1000 repeats of the same law against itself: 5 % ± 2 % is 30 to 70 rejections, 2.9 binomial sd (6.9) each way."""
    generator = stream(5, "mmd test")
    rejections = 0
    for _ in range(1000):
        x, y = normal(16, generator), normal(12, generator)
        threshold = permutation_threshold(x, y, 1.0, 0.05, 39, generator, unbiased)
        rejections += mmd(x, y, 1.0, unbiased) > threshold
    assert 30 <= rejections <= 70


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("name", BANDWIDTHS)
def test_power_against_a_shift(name, unbiased):
    generator = stream(6, "mmd test")
    x, same, y = normal(200, generator), normal(200, generator), normal(150, generator) + SHIFT
    found = mmd_test(x, y, name, generator=generator, unbiased=unbiased)
    assert found.rejects and (found.n, found.m, found.unbiased) == (200, 150, unbiased)
    assert not mmd_test(x, same, name, generator=generator, unbiased=unbiased).rejects


def test_both_estimators_in_one_walk_are_those_of_two(pair):
    """Of the definition, over the permutations that ``permutation_threshold`` draws."""
    x, y = pair
    for found in mmd_tests(x, y, "mmd-m", 0.05, 39, stream(4, "mmd test")):
        plain = naive(x, y, found.bandwidth, found.unbiased)
        threshold = permutation_threshold(x, y, found.bandwidth, 0.05, 39, stream(4, "mmd test"), found.unbiased)
        assert (found.value, found.threshold) == pytest.approx((plain, threshold), abs=1e-14)
        assert found == mmd_test(x, y, "mmd-m", 0.05, 39, stream(4, "mmd test"), found.unbiased)


def test_same_generator_same_threshold(pair):
    first, again, other = (permutation_threshold(*pair, WIDTH, generator=stream(s, "tau")) for s in (7, 7, 8))
    assert first == again != other


def test_bandwidths_come_from_the_test_sample():
    test = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], dtype=float64)  # distances 5, 1, √18
    generated = 100 * test
    widths = {name: mmd_test(test, generated, name, generator=stream(0, "w")).bandwidth for name in BANDWIDTHS}
    assert widths == pytest.approx({"mmd-1": 1.0, "mmd-m": math.sqrt(18), "mmd-c": 0.1 * math.sqrt(18)}, rel=1e-15)


def test_median_distance_is_scipys(pair):
    x = normal(7, stream(9, "mmd test"), 5)  # 21 distances: the median is one of them
    assert median_distance(x) == pytest.approx(sorted(pdist(x.numpy()))[10], rel=1e-14)


def test_median_distance_of_many_ordered_points(monkeypatch):
    """Above the limit evenly spaced rows stand for all, ends included: sorted input does no harm."""
    module = importlib.import_module("pushforward.metrics.mmd")  # the package attribute is the function
    monkeypatch.setattr(module, "MEDIAN_POINTS", 101)
    line = torch.linspace(0, 1, 1001, dtype=float64)[:, None]
    assert median_distance(line) == pytest.approx(1 - math.sqrt(0.5), abs=0.02)  # P(|u − v| < r) = 1 − (1 − r)²


def test_bad_input_is_named(pair):
    x, y = pair
    with pytest.raises(InputError, match="bandwidth is 0.0, expected a positive"):
        mmd(x, y, 0.0)
    with pytest.raises(InputError, match="bandwidth is nan"):
        mmd(x, y, math.nan)
    with pytest.raises(InputError, match="expected one of mmd-1, mmd-m, mmd-c"):
        mmd_test(x, y, "median")
    with pytest.raises(InputError, match="alpha is 5"):
        permutation_threshold(x, y, 1.0, alpha=5)
    with pytest.raises(InputError, match="18 permutations cannot reach level 0.05, expected at least 19"):
        permutation_threshold(x, y, 1.0, permutations=18)
    with pytest.raises(InputError, match="at least 2 each"):
        mmd(x[:1], y, 1.0)
    with pytest.raises(InputError, match="at least 2"):
        median_distance(x[:1])
    with pytest.raises(InputError, match="y has shape"):
        mmd(x, y[:, :1], 1.0)
    x = x.clone()
    x[3, 0] = math.nan
    with pytest.raises(InputError, match="row 3"):
        mmd(x, y, 1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_numbers(pair):
    cpu = mmd_test(*pair, "mmd-m", generator=stream(0, "cuda"))
    gpu = mmd_test(*(z.cuda() for z in pair), "mmd-m", generator=stream(0, "cuda"))
    assert gpu == pytest.approx(cpu, abs=1e-12)
