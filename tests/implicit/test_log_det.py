import math
from collections import Counter
from dataclasses import dataclass

import pytest
import torch

from cases import generator, jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.implicit import log_det
from pushforward.implicit.lipschitz import LipschitzMLP
from pushforward.implicit.log_det import Exact, LogDet, Neumann, Recomputed, Roulette, Truncated, products
from pushforward.implicit.tails import Geometric, Poisson, second_moment

DRAWS = 40_000
KAPPA = 0.5
ESTIMATORS = [Exact(), Truncated(4), Roulette(), Roulette(Poisson(2.0), 3), Neumann(), Neumann(Poisson(2.0), 0)]
every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)


def net(dim=3, kappa=KAPPA, scale=1.0):
    """Two layers that both reach their bound, so that κ is ``kappa`` exactly."""
    g = randomised(LipschitzMLP(dim, (8,), "sin", math.sqrt(kappa)).double(), scale).eval()
    assert g.kappa == pytest.approx(kappa)
    return g


def matrix(dim=3, kappa=KAPPA):
    random = normal(dim, dim, seed=6)
    return kappa * random / torch.linalg.matrix_norm(random, 2)


def series(jacobians, terms):
    """Σ_{k≤terms} (−1)^{k+1} tr(J^k)/k from the matrices."""
    power, total = torch.eye(jacobians.shape[-1]).to(jacobians), 0.0
    for k in range(1, terms + 1):
        power = power @ jacobians
        total = total + (-1) ** (k + 1) / k * power.diagonal(dim1=-2, dim2=-1).sum(-1)
    return total


@dataclass(frozen=True)
class Pinned:
    """A tail whose draw is known and whose law is that of another."""

    tail: object
    length: int

    def draw(self, generator=None):
        return self.length

    def at_least(self, k):
        return self.tail.at_least(k)


def independent_draws(kind, tail, g, x, gradients=False):
    """``DRAWS`` independent estimates at one point [DRAWS], or their gradients in x [DRAWS, d].

    A call shares its N among its rows; so N is drawn for each row first, and rows of equal N go into one call.
    """
    random, found = generator(2), []
    for length, count in sorted(Counter(tail.draw(random) for _ in range(DRAWS)).items()):
        points = x.expand(count, -1).clone().requires_grad_(gradients)
        values = kind(Pinned(tail, length))(g, points, random)
        if gradients:
            values = torch.autograd.grad(values.sum(), points)[0]
        found.append(values.detach())
    return torch.cat(found)


def assert_mean(values, expected):
    error = values.std(0) / math.sqrt(len(values))
    assert len(values) >= 20_000
    assert (error > 0).all()
    assert ((values.mean(0) - expected).abs() < 4 * error).all()


@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: lambda x: g(x)], ids=["own-jacobian", "forward-mode"])
def test_exact_is_the_determinant(wrap):
    g, x = net(), normal(7, 3)
    sign, expected = torch.linalg.slogdet(torch.eye(3).double() + jacobian(g, x))
    assert (sign == 1).all()
    torch.testing.assert_close(Exact()(wrap(g), x), expected, rtol=1e-12, atol=1e-12)
    weights = [layer.parametrizations.weight.original for layer in g.layers]
    mine = torch.autograd.grad(Exact()(wrap(g), x).sum(), weights)
    theirs = torch.autograd.grad(
        torch.func.vmap(torch.func.jacrev(lambda row: g(row[None])[0]))(x).add(torch.eye(3).double()).logdet().sum(),
        weights,
    )
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_exact_is_the_closed_form_of_a_linear_map():
    a = matrix()
    expected = torch.linalg.slogdet(torch.eye(3).double() + a)[1]
    torch.testing.assert_close(Exact()(lambda x: x @ a.T, normal(4, 3)), expected.expand(4), rtol=1e-13, atol=1e-13)


def test_products_are_rows_of_powers_of_the_jacobian():
    g, x, v = net(), normal(5, 3), normal(5, 3, seed=1)
    j = jacobian(g, x)
    expected = [torch.einsum("ni,nij->nj", v, torch.linalg.matrix_power(j, k)) for k in (1, 2, 3)]
    for found, power in zip(products(g, x, v, 3), expected, strict=True):
        torch.testing.assert_close(found, power)


@pytest.mark.parametrize("terms", [1, 2, 5])
def test_truncated_is_the_series_where_the_signs_cannot_matter(terms):
    """Random signs are exact for the trace of a diagonal matrix."""
    diagonal, x = torch.tensor([0.5, -0.4, 0.2]).double(), normal(4, 3)
    found = Truncated(terms)(lambda y: y * diagonal, x, generator())
    torch.testing.assert_close(found, series(torch.diag(diagonal).expand(4, 3, 3), terms), rtol=1e-13, atol=0)
    bias = (found - torch.log1p(diagonal).sum()).abs().max()
    assert 0 < bias <= 3 * 0.5 ** (terms + 1) / ((terms + 1) * (1 - 0.5))


@pytest.mark.parametrize("terms", [1, 6])
def test_truncated_has_the_series_as_its_mean(terms):
    g, x = net(), normal(1, 3)
    values = Truncated(terms)(g, x.expand(DRAWS, -1), generator(3)).detach()
    assert_mean(values, series(jacobian(g, x), terms))
    if terms == 1:  # so many draws tell the truncated series from the determinant
        with pytest.raises(AssertionError):
            assert_mean(values, Exact()(g, x).detach())


@pytest.mark.parametrize("tail", [Geometric(0.5), Poisson(2.0)], ids=repr)
@pytest.mark.parametrize(
    "kind", [lambda tail: Roulette(tail, 1), lambda tail: Neumann(tail, 1)], ids=["roulette", "neumann"]
)
def test_values_are_unbiased(kind, tail):
    g, x = net(), normal(1, 3)
    assert_mean(independent_draws(kind, tail, g, x), Exact()(g, x).detach())


@pytest.mark.parametrize("tail", [Geometric(0.5), Poisson(2.0)], ids=repr)
@pytest.mark.parametrize(
    "kind", [lambda tail: Roulette(tail, 1), lambda tail: Neumann(tail, 1)], ids=["roulette", "neumann"]
)
def test_gradients_are_unbiased(kind, tail):
    g, x = net(), normal(1, 3).requires_grad_()
    (expected,) = torch.autograd.grad(Exact()(g, x).sum(), x)
    assert expected.abs().min() > 0.01
    assert_mean(independent_draws(kind, tail, g, x.detach(), gradients=True), expected[0])


def test_parameter_gradients_of_neumann_are_unbiased(monkeypatch):
    """For a linear map they average to (I + A)⁻ᵀ: over all 2^d signs and, with their chances, over all lengths."""
    a, tail = matrix().requires_grad_(), Geometric(0.5)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)
    monkeypatch.setattr(log_det, "_signs_like", lambda x, generator: signs)
    mean = torch.zeros(3, 3).double()
    for length in range(1, 50):
        chance = tail.at_least(length) - tail.at_least(length + 1)
        estimate = Neumann(Pinned(tail, length), 1)(lambda x: x @ a.T, torch.zeros_like(signs)).mean()
        mean += chance * torch.autograd.grad(estimate, a)[0]
    expected = torch.linalg.inv(torch.eye(3).double() + a.detach()).T
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exact_terms", [0, 2])
def test_the_variance_of_the_roulette_is_the_closed_form(exact_terms):
    """J = −κ in one dimension: the signs do not matter and the length alone is random."""
    values = independent_draws(
        lambda tail: Roulette(tail, exact_terms), Geometric(0.5), lambda x: -KAPPA * x, torch.zeros(1, 1).double()
    )
    expected = float(second_moment(Geometric(0.5), KAPPA, exact_terms)[-1]) - math.log1p(-KAPPA) ** 2
    assert float(values.var()) == pytest.approx(expected, rel=0.08)


def test_neumann_takes_the_value_of_the_roulette():
    g, x = net(), normal(6, 3)
    for tail in (Geometric(0.5), Poisson(2.0)):
        roulette, neumann = Roulette(tail, 2)(g, x, generator(4)), Neumann(tail, 2)(g, x, generator(4))
        torch.testing.assert_close(roulette, neumann)


@every
def test_recomputed_equals_plain_autograd_for_any_upstream_gradient(estimator):
    g, upstream = net(), normal(6, seed=9)
    results = []
    for recomputed in (False, True):
        x = normal(6, 3).requires_grad_()
        random = generator(5)
        if recomputed:
            value = Recomputed(estimator)(g, 2 * x, random)
        else:  # the one draw that Recomputed takes of its generator seeds the estimator
            seed = int(torch.randint(2**62, (), generator=random))
            value = estimator(g, 2 * x, generator(seed))
        weights = [layer.parametrizations.weight.original for layer in g.layers]
        results.append([value, *torch.autograd.grad((value * upstream).sum(), [x, *weights])])
    for plain, again in zip(*results, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-12, atol=1e-12)
    assert results[0][1].abs().max() > 0


def held(estimator):
    """How many numbers the graph keeps for the backward pass."""
    g, x, kept = net(), normal(6, 3).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        value = estimator(g, x, generator())
    assert value.requires_grad
    return sum(kept)


@pytest.mark.parametrize("estimator", [Truncated(12), Roulette(Pinned(Geometric(), 10))], ids=["truncated", "roulette"])
def test_recomputed_keeps_no_graph_until_backward(estimator):
    assert held(Recomputed(estimator)) < held(estimator) / 50


def test_neumann_keeps_one_product_however_long_the_series():
    short, long = (Pinned(Geometric(), length) for length in (5, 40))
    assert held(Neumann(short)) == held(Neumann(long))
    assert held(Roulette(long)) > 4 * held(Roulette(short))


@every
@pytest.mark.parametrize("wrap", [lambda e: e, Recomputed], ids=["plain", "recomputed"])
def test_without_gradients_the_value_is_the_same_and_no_graph_is_left(estimator, wrap):
    g, x = net(), normal(6, 3)
    assert isinstance(wrap(estimator), LogDet)
    expected = wrap(estimator)(g, x, generator(7))
    with torch.no_grad():
        found = wrap(estimator)(g, x, generator(7))
    assert expected.requires_grad and not found.requires_grad
    assert found.shape == (6,)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-13, atol=1e-13)
    assert not x.requires_grad


@every
def test_the_generator_decides(estimator):
    g, x = net(), normal(40, 3)
    assert torch.equal(estimator(g, x, generator(1)), estimator(g, x, generator(1)))
    assert torch.equal(estimator(g, x, generator(1)), estimator(g, x, generator(2))) == (estimator == Exact())


@every
def test_float32_stays_float32(estimator):
    g, x = net().float(), normal(6, 3, dtype=torch.float32)
    assert estimator(g, x, generator()).dtype == torch.float32
    double = estimator(net(), x.double(), generator())
    torch.testing.assert_close(estimator(g, x, generator()).double(), double, rtol=1e-5, atol=1e-5)


@every
def test_a_map_that_does_not_depend_on_its_point_has_log_det_zero(estimator):
    constant = torch.ones(4, 2).double()
    assert torch.equal(estimator(lambda x: constant + 0 * x, normal(4, 2), generator()), torch.zeros(4).double())


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Truncated(0), "terms is 0, expected at least 1"),
        (lambda: Roulette(exact_terms=-1), "exact_terms is -1, expected 0 or more"),
        (lambda: Neumann(exact_terms=-1), "exact_terms is -1"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_in_the_plane_single_precision_keeps_its_digits_where_a_block_contracts():
    matrix = torch.tensor([[-0.99, 0.003], [0.001, -0.985]], dtype=torch.float64)
    exact = torch.linalg.slogdet(matrix + torch.eye(2))[1]
    found = Exact()(lambda x: x @ matrix.T.to(x), torch.zeros(1, 2))
    assert found.dtype == torch.float32 and abs(found.item() - exact.item()) < 5e-5
