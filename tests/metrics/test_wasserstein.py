import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics.wasserstein import gaussian_w2, sliced_w2, w2
from pushforward.seeds import stream

float64 = torch.float64


def normal(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, dtype=float64, generator=stream(seed, f"w2 test {n} {dim}"))


def covariance(dim: int, seed: int) -> torch.Tensor:
    root = normal(dim, dim, seed)
    return root @ root.T + 0.1 * torch.eye(dim, dtype=float64)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_translation_is_its_length(dim):
    x = normal(200, dim)
    shift = torch.arange(1.0, dim + 1, dtype=float64)
    shuffled = (x + shift)[torch.randperm(200, generator=stream(0, "shuffle"))]
    assert w2(x, shuffled) == pytest.approx(float(shift.norm()), rel=1e-12)


def test_distance_between_pairs_by_hand():
    x = torch.tensor([[0.0, 0.0], [10.0, 0.0]], dtype=float64)
    y = torch.tensor([[10.0, 3.0], [0.0, 4.0]], dtype=float64)
    assert w2(x, y) == pytest.approx(math.sqrt((16 + 9) / 2), rel=1e-15)


def test_sorting_on_the_line_equals_assignment():
    x, y = normal(150, 1), normal(150, 1, seed=1).exp()
    flat = torch.zeros(150, 1, dtype=float64)
    assert w2(x, y) == pytest.approx(w2(torch.cat([x, flat], 1), torch.cat([y, flat], 1)), rel=1e-12)


def test_far_from_the_origin_nothing_cancels():
    x = normal(50, 2)
    assert w2(x + 1e6, x + 1e6 + 1e-3) == pytest.approx(1e-3 * math.sqrt(2), rel=1e-6)


def test_gaussian_commuting_closed_form():
    """Covariances with the same eigenvectors: W2² = |m1 − m2|² + Σ (√λ1 − √λ2)²."""
    basis = torch.linalg.qr(normal(4, 4)).Q
    one, two = torch.tensor([[4.0, 1.0, 0.25, 0.5], [1.0, 9.0, 0.25, 2.0]], dtype=float64)
    mean1, mean2 = normal(2, 4)
    truth = math.sqrt(float((mean1 - mean2).square().sum() + (one.sqrt() - two.sqrt()).square().sum()))
    found = gaussian_w2(mean1, basis @ torch.diag(one) @ basis.T, mean2, basis @ torch.diag(two) @ basis.T)
    assert found == pytest.approx(truth, rel=1e-12)


def test_gaussian_in_two_dimensions_by_determinant():
    """For 2 × 2, tr (M^½) = √(tr M + 2 √det M), with M similar to C1 C2."""
    one, two, zero = covariance(2, 1), covariance(2, 2), torch.zeros(2, dtype=float64)
    product = one @ two
    cross = math.sqrt(float(product.trace() + 2 * product.det().sqrt()))
    truth = math.sqrt(float(one.trace() + two.trace()) - 2 * cross)
    assert gaussian_w2(zero, one, zero, two) == pytest.approx(truth, rel=1e-10)


def test_gaussian_is_the_cost_of_the_linear_optimal_map():
    """Non-commuting: y = A x with A symmetric positive is optimal (Brenier), so W2² = tr (A − I) C (A − I)."""
    cov, optimal, zero = covariance(5, 3), covariance(5, 4), torch.zeros(5, dtype=float64)
    move = optimal - torch.eye(5, dtype=float64)
    truth = math.sqrt(float((move @ cov @ move).trace()))
    assert gaussian_w2(zero, cov, zero, optimal @ cov @ optimal) == pytest.approx(truth, rel=1e-9)


def test_equal_gaussians_are_at_distance_zero():
    mean, cov = normal(1, 6)[0], covariance(6, 5)
    assert gaussian_w2(mean, cov, mean, cov) < 1e-13


def test_singular_gaussians():
    """Laws on crossing lines: N(0, diag(4, 0)) and N(0, diag(0, 9)) are uncorrelated, W2² = 4 + 9."""
    one, two, mean = torch.diag(torch.tensor([4.0, 0.0])), torch.diag(torch.tensor([0.0, 9.0])), torch.zeros(2)
    assert gaussian_w2(mean, one, mean, one) < 1e-12
    assert gaussian_w2(mean, one, mean, two) == pytest.approx(math.sqrt(13), rel=1e-7)


def test_gaussian_agrees_with_assignment_on_samples():
    cov, shift = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=float64), torch.tensor([1.5, -1.0], dtype=float64)
    x = normal(1000, 2)
    y = normal(1000, 2, seed=1) @ torch.linalg.cholesky(cov).T + shift
    exact = gaussian_w2(torch.zeros(2, dtype=float64), torch.eye(2, dtype=float64), shift, cov)
    assert w2(x, y) == pytest.approx(exact, rel=0.05)


def test_sliced_translation():
    """θ·(x + v) is θ·x moved by |v| cos: W2² averages to |v|² E cos² = |v|² / d."""
    dim, shift = 3, torch.tensor([1.0, 2.0, -2.0], dtype=float64)
    x = normal(50, dim)
    found = sliced_w2(x, x.flip(0) + shift, 4000, stream(0, "slices"))
    assert abs(found.value - 3 / math.sqrt(dim)) < 4 * found.se
    # var cos² = 3/(d(d + 2)) − 1/d², times |v|⁴; the root halves it by 2 W
    assert found.se == pytest.approx(9 * math.sqrt((1 / 5 - 1 / 9) / 4000) / (2 * math.sqrt(3)), rel=0.05)
    assert found.n == 4000


def test_sliced_on_the_line_is_w2():
    x, y = normal(80, 1), 2 * normal(80, 1, seed=1)
    found = sliced_w2(x, y, 3, stream(0, "slices"))
    assert found.value == pytest.approx(w2(x, y), rel=1e-12) and found.se < 1e-12


def test_sliced_is_below_w2_and_zero_for_equal_samples():
    x, y = normal(100, 3), normal(100, 3, seed=1) + 1
    assert sliced_w2(x, y, generator=stream(0, "slices")).value < w2(x, y)
    assert sliced_w2(x, x.flip(0), generator=stream(0, "slices"))[:2] == pytest.approx((0, 0), abs=1e-12)


def test_sliced_follows_its_generator():
    x, y = normal(30, 2), normal(30, 2, seed=1)
    first, again, other = (sliced_w2(x, y, 10, stream(s, "slices")).value for s in (1, 1, 2))
    assert first == again != other


def test_bad_samples_are_named(monkeypatch):
    x = normal(6, 2)
    with pytest.raises(InputError, match="x has 6 points and y has 5"):
        w2(x, x[:5])
    with pytest.raises(InputError, match="projections is 1"):
        sliced_w2(x, x, 1)
    monkeypatch.setattr("pushforward.metrics.wasserstein.ASSIGNMENT_POINTS", 5)
    with pytest.raises(InputError, match="at most 5 for an exact assignment"):
        w2(x, x)
    x[0, 0] = math.inf
    for distance in (w2, sliced_w2):
        with pytest.raises(InputError, match="row 0"):
            distance(x, x)


def test_bad_covariances_are_named():
    mean, good = torch.zeros(2, dtype=float64), torch.eye(2, dtype=float64)
    with pytest.raises(InputError, match=r"\(3,\), \(2, 2\)"):
        gaussian_w2(torch.zeros(3), good, mean, good)
    with pytest.raises(InputError, match="cov2 is not a finite symmetric"):
        gaussian_w2(mean, good, mean, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(InputError, match="cov1 is not a finite"):
        gaussian_w2(mean, good * math.nan, mean, good)
    with pytest.raises(InputError, match="cov2 has eigenvalue -1"):
        gaussian_w2(mean, good, mean, torch.diag(torch.tensor([1.0, -1.0])))
