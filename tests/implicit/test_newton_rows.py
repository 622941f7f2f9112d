"""Newton's method goes on with the rows that are left alone; the results are those of all rows together."""

import torch

from cases import normal
from pushforward.implicit import Newton
from pushforward.implicit.equation import Equation
from pushforward.implicit.iteration import iterate, joined
from pushforward.implicit.lipschitz import LipschitzMLP
from pushforward.implicit.solvers import newton
from pushforward.implicit.solvers.newton import mixed_precision_start


def equation(n=40):
    """Near their roots at first, far from them at last."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        g = LipschitzMLP(2, (16, 16)).double()
        with torch.no_grad():
            for parameter in g.parameters():
                parameter.normal_()
    g.eval()
    root = 3 * normal(n, 2, seed=1)
    rhs = root + g(root).detach()
    start = root + normal(n, 2, seed=2) * torch.logspace(-9, 1, n, dtype=torch.float64)[:, None]
    return g, rhs, start, root


def test_few_rows_go_on_by_themselves_to_the_same_roots(monkeypatch):
    g, rhs, start, root = equation()
    sizes = []
    part = Equation(g, rhs, dense=True)
    inner = Equation.__call__
    monkeypatch.setattr(Equation, "__call__", lambda self, z: sizes.append(len(z)) or inner(self, z))
    result = Newton()(part, start, g.kappa, 1e-10)
    assert result.converged.all() and (result.x - root).norm(dim=1).max() < 1e-9
    assert sizes[0] == 40 and 0 < sizes[-1] <= newton.LEAVE * 40
    monkeypatch.setattr(newton, "LEAVE", 0.0)
    together = Newton()(Equation(g, rhs, dense=True), start, g.kappa, 1e-10)
    torch.testing.assert_close(result.x, together.x, rtol=0, atol=1e-9)
    torch.testing.assert_close(result.bound, part(result.x).norm(dim=1) / (1 - g.kappa), rtol=0, atol=1e-14)


def test_afterwards_the_jacobian_at_the_roots_is_there(monkeypatch):
    g, rhs, start, _ = equation()
    part = Equation(g, rhs, dense=True)
    result = Newton()(part, start, g.kappa, 1e-10)
    assert torch.equal(part.last[0], result.x)


def test_iterating_stops_once_few_are_left():
    g, rhs, start, _ = equation()
    residual = Equation(g, rhs)
    some = iterate(residual, start, g.kappa, 1e-10, lambda z, f: z + f, None, leave=0.5)
    left = int((~some.converged).sum())
    assert 0 < left <= 20
    rest = iterate(residual.rows(~some.converged), some.x[~some.converged], g.kappa, 1e-10, lambda z, f: z + f)
    whole = joined(some, ~some.converged, rest)
    alone = iterate(residual, start, g.kappa, 1e-10, lambda z, f: z + f)
    torch.testing.assert_close(whole.x, alone.x, rtol=0, atol=1e-12)
    assert torch.equal(whole.iterations, alone.iterations) and whole.converged.all()


def test_a_start_in_mixed_precision_is_near_the_root_and_finite_where_it_fails():
    g, rhs, _, _ = equation()
    rhs[0] = 0  # every row but this one is solved
    exact, single = Equation(g, rhs, dense=True), Equation(g, rhs.float(), dense=True)
    broken = torch.arange(len(rhs)) == 0
    inner = single.jacobian
    single.jacobian = lambda z: torch.where(broken[:, None, None], 0, inner(z))
    start = mixed_precision_start(single, exact)
    assert start.dtype == torch.float64 and torch.equal(start[0], rhs[0])
    plain = mixed_precision_start(Equation(g, rhs.float(), dense=True), exact)
    torch.testing.assert_close(start[1:], plain[1:], rtol=0, atol=0)
    size = exact.value(rhs).norm(dim=1).median()
    assert exact.value(plain).norm(dim=1).median() < 1e-3 * size
