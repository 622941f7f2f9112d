import math

import pytest
import torch

from cases import generator
from pushforward.errors import InputError
from pushforward.implicit.tails import Geometric, Poisson, Tail, second_moment

TAILS = [Geometric(0.5), Geometric(0.2), Poisson(2.0), Poisson(5.0)]
DRAWS = 20_000


@pytest.mark.parametrize("tail", TAILS, ids=repr)
def test_at_least_is_the_law_of_the_draws(tail):
    assert isinstance(tail, Tail)
    random = generator(1)
    draws = torch.tensor([tail.draw(random) for _ in range(DRAWS)])
    for k in range(10):
        expected = tail.at_least(k)
        error = math.sqrt(expected * (1 - expected) / DRAWS)
        assert abs(float((draws >= k).double().mean()) - expected) <= 4 * error


def test_at_least_is_the_stated_formula():
    for k in range(1, 30):
        assert Geometric(0.3).at_least(k) == pytest.approx(0.7 ** (k - 1), rel=1e-14)
        below = sum(math.exp(-2) * 2**i / math.factorial(i) for i in range(k))
        assert Poisson(2.0).at_least(k) == pytest.approx(1 - below, rel=1e-10, abs=1e-15)
    assert Geometric(0.3).at_least(0) == Poisson(2.0).at_least(0) == Poisson(2.0).at_least(-1) == 1
    # Far out, where the sum above cancels: the first term left of Σ_{i≥k} rules.
    assert Poisson(2.0).at_least(40) == pytest.approx(math.exp(-2) * 2**40 / math.factorial(40), rel=0.06)


@pytest.mark.parametrize("tail", TAILS[:2], ids=repr)
@pytest.mark.parametrize("exact_terms", [0, 2])
def test_the_second_moment_is_that_of_the_law(tail, exact_terms):
    """The mean over N of the squared sum, by the definition of the roulette."""
    kappa, expected = 0.3, 0.0
    for n in range(1, 400):
        weights = [1 / tail.at_least(k - exact_terms) for k in range(1, n + exact_terms + 1)]
        value = -sum(weight * kappa**k / k for k, weight in enumerate(weights, 1))
        expected += (tail.at_least(n) - tail.at_least(n + 1)) * value**2
    assert float(second_moment(tail, kappa, exact_terms)[-1]) == pytest.approx(expected, rel=1e-11)


def test_the_partial_sums_are_those_of_the_pairs_of_terms():
    """E[1(N ≥ k) 1(N ≥ l)]/(P_k P_l) = 1/P_min(k, l); the partial sum has the pairs with min(k, l) ≤ terms."""
    tail, kappa = Poisson(2.0), 0.3
    for terms in (1, 3, 6):
        pairs = [(k, other) for k in range(1, 60) for other in range(1, 60) if min(k, other) <= terms]
        expected = sum(kappa ** (k + m) / (k * m) / tail.at_least(min(k, m) - 2) for k, m in pairs)
        assert float(second_moment(tail, kappa, 2, terms)[-1]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kappa_squared", [0.3, 0.45, 0.55, 0.8])
def test_geometric_one_half_loses_its_second_moment_where_kappa_squared_exceeds_one_half(kappa_squared):
    sums = second_moment(Geometric(0.5), math.sqrt(kappa_squared), terms=300)
    steps = sums.diff()[:30]
    assert (steps > 0).all()
    # The k-th term goes like (κ²/(1 − p))^k/k², with a correction of order 1/k.
    assert float(steps[29] / steps[28]) * 31 / 30 == pytest.approx(kappa_squared / 0.5, rel=0.04)
    if kappa_squared < 0.5:
        assert sums[-1] - sums[-50] < 1e-5 * sums[-1]
    else:
        assert sums[-1] > 1e6


def test_a_smaller_p_keeps_it_and_more_exact_terms_lower_it():
    kappa = 0.9
    kept = second_moment(Geometric(0.1), kappa, terms=400)
    assert kept[-1] - kept[-100] < 1e-6 * kept[-1]
    excess = [float(second_moment(Geometric(0.5), 0.5, m)[-1]) - math.log(0.5) ** 2 for m in (0, 2, 6)]
    assert excess[0] > 5 * excess[1] > 25 * excess[2] > 0


def test_poisson_has_no_second_moment_even_at_a_small_kappa():
    sums = second_moment(Poisson(2.0), 0.3, terms=80)
    assert sums[-1] > 1e6 * sums[10]


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Geometric(0.0), r"p is 0.0, expected a number in \(0, 1\)"),
        (lambda: Geometric(1.0), "p is 1.0"),
        (lambda: Poisson(0.0), "rate is 0.0, expected a positive number"),
        (lambda: Poisson(math.nan), "rate is nan"),
        (lambda: second_moment(Geometric(), 1.0), r"kappa is 1.0, expected a number in \(0, 1\)"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()
