import pytest
import torch

from cases import generator, jacobian, normal
from pushforward.errors import InputError, NotConverged
from pushforward.implicit import GMRES, SOLVERS, Anderson, FixedPoint, Newton, implicit_root

KAPPA, TOL = 0.9, 1e-12
LINEAR_SOLVERS = {
    "default": None,
    "gmres": GMRES(),
    **{n: SOLVERS[n]() for n in ("fixed-point", "anderson", "broyden")},
}
every_solver = pytest.mark.parametrize("solver", LINEAR_SOLVERS.values(), ids=LINEAR_SOLVERS)


def orthogonal(dim, seed):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator(seed), dtype=torch.float64))[0]


def problem(dim, n=3):
    """rhs [n, d] and a diagonal θ [d] of g(z) = κ tanh(θ) ⊙ Q sin(z), Lipschitz below κ for every θ."""
    q = orthogonal(dim, 0)
    return (
        (lambda theta, z: KAPPA * torch.tanh(theta) * (torch.sin(z) @ q)),
        normal(n, dim, seed=1),
        normal(dim, seed=2),
    )


def solve(g, rhs, theta, **settings):
    residual = lambda z: rhs - g(theta, z) - z  # noqa: E731
    with torch.no_grad():
        root = Newton()(residual, rhs, KAPPA, 1e-13).x
    return implicit_root(residual, root, KAPPA, TOL, **settings)


@every_solver
@pytest.mark.parametrize("dim", [1, 2, 17])
def test_gradients_are_those_of_central_differences(solver, dim):
    g, rhs, theta = problem(dim, n=2)
    leaves = rhs.requires_grad_(), theta.requires_grad_()
    assert torch.autograd.gradcheck(lambda r, t: solve(g, r, t, solver=solver), leaves, eps=1e-6, atol=1e-8, rtol=1e-6)


@every_solver
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_linear_maps_have_a_closed_form(solver, dim):
    matrix, rhs, a = (KAPPA * orthogonal(dim, 3)).requires_grad_(), normal(6, dim, seed=4), normal(6, dim, seed=5)
    inverse = torch.linalg.inv(torch.eye(dim) + matrix.detach())
    root = rhs @ inverse.mT
    z = implicit_root(lambda z: rhs - z @ matrix.mT - z, root, KAPPA, TOL, solver=solver)
    assert torch.equal(z, root)
    (found,) = torch.autograd.grad((z * a).sum(), matrix)
    torch.testing.assert_close(found, -(a @ inverse).mT @ root, rtol=1e-11, atol=1e-10)


def test_gradients_are_those_of_one_detached_newton_step():
    g, rhs, theta = problem(2)
    theta.requires_grad_()
    z = solve(g, rhs, theta)
    root = z.detach()
    step = torch.linalg.inv(torch.eye(2) + jacobian(lambda y: g(theta.detach(), y), root))
    newton = root + torch.einsum("nij,nj->ni", step, rhs - g(theta, root) - root)
    weights = normal(3, 2, seed=6)
    found, expected = (torch.autograd.grad((y * weights).sum(), theta)[0] for y in (z, newton))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [2, 20])
def test_tolerances_are_relative_to_the_cotangent(dim):
    g, rhs, theta = problem(dim)
    theta.requires_grad_()
    z = solve(g, rhs, theta)
    weights = normal(3, dim, seed=6)
    (full,) = torch.autograd.grad((z * weights).sum(), theta, retain_graph=True)
    (tiny,) = torch.autograd.grad((z * weights).sum() * 1e-20, theta, retain_graph=True)
    torch.testing.assert_close(tiny * 1e20, full, rtol=1e-9, atol=0)
    weights[1:] = 0  # rows that the loss does not see
    (one,) = torch.autograd.grad((z * weights).sum(), theta)
    expected = torch.autograd.grad((solve(g, rhs[:1], theta) * weights[:1]).sum(), theta)[0]
    torch.testing.assert_close(one, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dim", [2, 20])
def test_the_backward_solve_is_reported_and_certified(dim):
    g, rhs, theta = problem(dim)
    theta.requires_grad_()
    reports = []
    z = solve(g, rhs, theta, report=reports.append)
    assert reports == []
    z.sum().backward()
    assert len(reports) == 1 and reports[0].converged.all() and len(reports[0].x) == 3
    a = torch.full_like(rhs, dim**-0.5)
    transposed = jacobian(lambda y: g(theta.detach(), y), z.detach()).mT + torch.eye(dim)
    torch.testing.assert_close(torch.einsum("nij,nj->ni", transposed, reports[0].x), a, rtol=0, atol=1e-11)


def test_a_backward_solve_that_fails_is_an_error():
    g, rhs, theta = problem(20)
    theta.requires_grad_()
    reports = []
    z = solve(g, rhs, theta, solver=FixedPoint(2), report=reports.append)
    with pytest.raises(NotConverged, match="3 of 3 rows have no certified root"):
        z.sum().backward()
    assert not reports[0].converged.any()
    with pytest.warns(RuntimeWarning, match="3 of 3 rows"):
        solve(g, rhs, theta, solver=FixedPoint(2), on_failure="warn").sum().backward()
    for dim in (2, 20):
        g, rhs, theta = problem(dim)
        with pytest.raises(NotConverged, match="1 of 3 rows.*the first is row 1"):
            weights = torch.tensor([[1.0], [float("nan")], [1.0]])
            (solve(g, rhs, theta.requires_grad_()) * weights).sum().backward()


def test_backward_leaves_no_trace_beside_the_gradient():
    g, rhs, theta = problem(2)
    theta.requires_grad_()
    solve(g, rhs, theta).sum().backward()
    first = theta.grad.clone()
    theta.grad = None
    solve(g, rhs, theta, linear=lambda z: rhs - g(theta, z) - z).sum().backward()  # its parameters are not reached
    torch.testing.assert_close(theta.grad, first, rtol=0, atol=1e-14)


def test_a_second_derivative_is_refused():
    g, rhs, theta = problem(2)
    theta.requires_grad_()
    (gradient,) = torch.autograd.grad(solve(g, rhs, theta).square().sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_root_in_float64_serves_points_in_float32():
    g, rhs, theta = problem(2)
    single, linear = (rhs.float(), theta.float().requires_grad_()), lambda z: rhs - g(theta, z) - z
    root = Newton()(linear, rhs, KAPPA, 1e-13).x
    residual = lambda z: single[0] - (0.9 * torch.tanh(single[1]) * (torch.sin(z) @ orthogonal(2, 0).float())) - z  # noqa: E731
    z = implicit_root(residual, root, KAPPA, TOL, linear=linear, dtype=torch.float32)
    assert z.dtype == torch.float32 and torch.equal(z, root.float())
    z.square().sum().backward()
    double = theta.clone().requires_grad_()
    solve(g, rhs, double).square().sum().backward()
    assert single[1].grad.dtype == torch.float32
    torch.testing.assert_close(single[1].grad.double(), double.grad, rtol=1e-5, atol=1e-6)


def test_a_residual_of_another_shape_is_an_error():
    with pytest.raises(InputError, match=r"residual\(root\) has shape \(3, 1\), expected \(3, 2\)"):
        implicit_root(lambda z: z[:, :1], torch.zeros(3, 2), KAPPA, TOL)


def test_anderson_serves_a_large_system_too():
    g, rhs, theta = problem(60)
    theta.requires_grad_()
    gradients = [
        torch.autograd.grad(solve(g, rhs, theta, solver=solver).square().sum(), theta)[0]
        for solver in (Anderson(), None)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-10)
