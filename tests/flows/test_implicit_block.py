import math

import pytest
import torch
from torch import nn

from cases import generator, jacobian, normal
from pushforward.errors import InputError, NotConverged
from pushforward.flows import Chain, Flow, ImplicitBlock
from pushforward.implicit import SOLVERS, FixedPoint
from pushforward.implicit.equation import Equation
from pushforward.implicit.lipschitz import LipschitzMLP
from pushforward.implicit.root import RootResult

KINDS = {"residual": (True, False), "inverse residual": (False, True), "implicit": (True, True)}
every_kind = pytest.mark.parametrize("kind", KINDS)


class Linear(nn.Module):
    """g(x) = A x with ‖A‖ = κ."""

    def __init__(self, dim, kappa, seed):
        super().__init__()
        q = torch.linalg.qr(torch.randn(dim, dim, generator=generator(seed), dtype=torch.float64))[0]
        scales = torch.linspace(0.2, 1, dim, dtype=torch.float64)
        self.matrix, self.dim, self.kappa = nn.Parameter(kappa * q * scales), dim, kappa

    def forward(self, x):
        return x @ self.matrix.T


def net(dim, seed, dtype=torch.float64, coeff=0.99):
    """A network at its Lipschitz bound, with steps in every direction."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        g = LipschitzMLP(dim, (12, 12), coeff=coeff)
        with torch.no_grad():
            for parameter in g.parameters():
                parameter.normal_()
    g = g.to(dtype)
    g.update_norms()
    return g


def block(kind, dim=2, seed=0, dtype=torch.float64, **settings):
    first, second = KINDS[kind]
    g_x = net(dim, 2 * seed, dtype) if first else None
    g_z = net(dim, 2 * seed + 1, dtype) if second else None
    return ImplicitBlock(g_x, g_z, **settings)


def points(n=16, dim=2, seed=50, dtype=torch.float64):
    return 2 * normal(n, dim, seed=seed, dtype=dtype)


@every_kind
@pytest.mark.parametrize("dim", [1, 2, 20])
@pytest.mark.parametrize("blocks", [1, 4])
def test_there_and_back(kind, dim, blocks):
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-4)):
        chain = Chain(dim, [block(kind, dim, seed, dtype) for seed in range(blocks)])
        assert all(g.kappa > 0.97 for b in chain.blocks for g in (b.g_x, b.g_z) if g is not None)
        x = points(dim=dim, dtype=dtype)
        with torch.no_grad():
            for once, again in ((chain, chain.inverse), (chain.inverse, chain)):
                y = again(once(x))
                assert y.dtype == dtype
                assert (y - x).abs().max() < tolerance


@every_kind
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_log_det_is_that_of_the_autograd_jacobian(kind, dim):
    b, x = block(kind, dim), points(6, dim)
    z, log_det = b.forward_and_log_det(x)
    sign, expected = torch.linalg.slogdet(jacobian(b, x))
    assert (sign == 1).all()
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-10)
    assert torch.equal(z, b(x))
    expected = torch.linalg.slogdet(jacobian(b.inverse, z.detach()))[1]
    torch.testing.assert_close(-log_det, expected, rtol=0, atol=1e-8)  # the inverse has gradients too


@pytest.mark.parametrize("dim", [2, 17])
def test_gradients_of_the_likelihood_are_those_of_central_differences(dim):
    flow, x = Flow(Chain(dim, [block("implicit", dim, 1), block("implicit", dim, 2)])), points(4, dim)
    x.requires_grad_()
    leaves = {**dict(flow.named_parameters()), "x": x}
    gradients = torch.autograd.grad(flow.log_prob(x).mean(), list(leaves.values()))
    for seed, ((name, leaf), gradient) in enumerate(zip(leaves.items(), gradients, strict=True)):
        direction, eps = normal(*leaf.shape, seed=seed), 1e-6
        values = []
        with torch.no_grad():
            for shift in (eps, -2 * eps, eps):
                leaf += shift * direction
                values.append(flow.log_prob(x).mean())
        slope = (values[0] - values[1]) / (2 * eps)
        torch.testing.assert_close(
            (gradient * direction).sum(), slope, rtol=1e-5, atol=1e-8, msg=lambda m, n=name: n + m
        )
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_linear_networks_have_a_closed_form(solver, dim):
    g_x, g_z = Linear(dim, 0.9, 1), Linear(dim, 0.9, 2)
    b, x = ImplicitBlock(g_x, g_z, SOLVERS[solver]()), points(5, dim)
    plus, minus = (torch.eye(dim) + g.matrix.detach() for g in (g_x, g_z))
    with torch.no_grad():
        z, log_det = b.forward_and_log_det(x)
        torch.testing.assert_close(z, torch.linalg.solve(minus, plus @ x.T).T, rtol=0, atol=1e-10)
        expected = torch.linalg.slogdet(plus)[1] - torch.linalg.slogdet(minus)[1]
        torch.testing.assert_close(log_det, expected.expand(5), rtol=0, atol=1e-10)
        torch.testing.assert_close(b.inverse(z), x, rtol=0, atol=1e-9)


def test_without_g_z_it_is_a_residual_block_and_without_g_x_the_inverse_of_one():
    g, x = net(2, 0), points()
    residual, inverse = ImplicitBlock(g_x=g), ImplicitBlock(g_z=g)
    with torch.no_grad():
        z, log_det = residual.forward_and_log_det(x)
        torch.testing.assert_close(z, x + g(x), rtol=0, atol=1e-12)
    expected = torch.logdet(torch.eye(2) + jacobian(g, x)).detach()
    torch.testing.assert_close(log_det, expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(inverse.inverse(x), z)
        back, minus = inverse.forward_and_log_det(z)
        torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
        torch.testing.assert_close(minus, -log_det, rtol=0, atol=1e-8)


def test_with_the_same_network_twice_it_is_the_identity():
    g, x = net(2, 0), points()
    b = ImplicitBlock(g, g, tol=1e-13)
    with torch.no_grad():
        z, log_det = b.forward_and_log_det(x)
    torch.testing.assert_close(z, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det, torch.zeros_like(log_det), rtol=0, atol=1e-12)


def test_swapping_the_networks_is_the_inverse():
    b, x = block("implicit"), points()
    with torch.no_grad():
        assert torch.equal(ImplicitBlock(b.g_z, b.g_x)(x), b.inverse(x))


def test_slopes_lie_in_the_interval_of_their_kappa():
    b, x = block("implicit", dim=1), torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
    kappa = max(b.g_x.kappa, b.g_z.kappa)
    slopes = b.forward_and_log_det(x)[1].exp()
    assert ((1 - kappa) / (1 + kappa) <= slopes).all() and (slopes <= (1 + kappa) / (1 - kappa)).all()
    with torch.no_grad():  # both ends are met, where a residual block stops at 1 + κ
        for sign, end in ((1, 19.0), (-1, 1 / 19)):
            g_x, g_z = Linear(1, 0.9, 0), Linear(1, 0.9, 0)
            g_x.matrix.fill_(0.9 * sign)
            g_z.matrix.fill_(-0.9 * sign)
            torch.testing.assert_close(ImplicitBlock(g_x, g_z)(x), end * x, rtol=0, atol=1e-8)


def test_three_residual_blocks_can_do_what_no_implicit_block_can():
    """A = 0.9 R(60°) has ‖A − I‖ = √0.91 < 1 and A³ = −0.729 I, which is not monotone in any direction."""
    c, s = 0.9 * math.cos(math.pi / 3), 0.9 * math.sin(math.pi / 3)
    g = Linear(2, math.sqrt(0.91), 0)
    with torch.no_grad():
        g.matrix.copy_(torch.tensor([[c - 1, -s], [s, c - 1]], dtype=torch.float64))
        assert torch.linalg.matrix_norm(g.matrix, 2) == pytest.approx(g.kappa, abs=1e-14)
        chain, x = Chain(2, [ImplicitBlock(g_x=g) for _ in range(3)]), points()
        torch.testing.assert_close(chain(x), -0.729 * x, rtol=0, atol=1e-8)


@every_kind
def test_the_density_integrates_to_one(kind):
    side = torch.linspace(-12, 12, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        mass = Flow(block(kind)).log_prob(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(mass - 1) < 1e-3


def test_a_strongly_monotone_map_is_one_block():
    """Theorem 2's construction: f(x) = 10x and γ = 0.1 · 0.9 give g_x = (10γ − 1) x, g_z = (γ − 1) x."""
    gamma, g_x, g_z = 0.09, Linear(1, 0.1, 0), Linear(1, 0.91, 0)
    with torch.no_grad():
        g_x.matrix.fill_(10 * gamma - 1)
        g_z.matrix.fill_(gamma - 1)
        x = points(5, 1)
        torch.testing.assert_close(ImplicitBlock(g_x, g_z)(x), 10 * x, rtol=0, atol=1e-8)


def test_every_solve_is_counted():
    b, x = block("implicit"), points(7)
    z, log_det = b.forward_and_log_det(x)
    (z.sum() + log_det.sum()).backward()
    with torch.no_grad():
        b.inverse(z)
        b.inverse(z[:2])
    assert {name: audit.solves for name, audit in b.audits.items()} == {"forward": 7, "inverse": 9, "backward": 7}
    for audit in b.audits.values():
        assert audit.unconverged == audit.fallbacks == 0 and audit.iterations >= audit.solves
        assert 0 < audit.worst <= 1e-11
        audit.reset()
        assert (audit.solves, audit.iterations, audit.worst) == (0, 0, 0.0)


def test_a_solve_that_fails_is_counted_and_raised_or_warned_of():
    x = points(7)
    for on_failure in ("raise", "warn"):
        b = block("implicit", solver=FixedPoint(1), on_failure=on_failure)
        context = pytest.raises(NotConverged) if on_failure == "raise" else pytest.warns(RuntimeWarning)
        with context, torch.no_grad():
            b(x)
        assert b.audits["forward"].unconverged > 0
        assert b.audits["forward"].worst > 1e-11


def test_a_nan_is_an_error_that_names_its_row_and_infinite_in_the_audit():
    b, x = block("implicit"), points(7)
    x[4, 0] = float("nan")
    with pytest.raises(NotConverged, match="1 of 7 rows.*the first is row 4"):
        b(x)
    assert b.audits["forward"].worst == math.inf and b.audits["forward"].unconverged == 1


def test_without_gradients_no_jacobian_is_taken_at_the_root_which_stays_the_same(monkeypatch):
    b, x, dense = block("implicit", dtype=torch.float32), points(64, dtype=torch.float32), []
    b.eval()
    taken = Equation._value_and_slope
    monkeypatch.setattr(Equation, "_value_and_slope", lambda self, z: dense.append((z.dtype, len(z))) or taken(self, z))
    z, log_det = b.forward_and_log_det(x)
    asked = dense.count((torch.float64, 64))
    dense.clear()
    with torch.no_grad():
        again, log_det_again = b.forward_and_log_det(x)
    assert dense.count((torch.float64, 64)) < asked and (torch.float32, 64) in dense
    torch.testing.assert_close(again, z.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(log_det_again, log_det.detach(), rtol=0, atol=1e-5)


def test_float32_is_certified_to_one_in_a_million():
    b, x = block("implicit", dtype=torch.float32), points(64, dtype=torch.float32)
    z = b(x)
    assert z.dtype == torch.float32
    assert 0 < b.audits["forward"].worst <= 1e-6
    double = block("implicit")
    for single, exact in ((b.g_x, double.g_x), (b.g_z, double.g_z)):
        exact.load_state_dict(single.state_dict())
    with torch.no_grad():
        exact = double(x.double())
    assert ((z - exact).norm(dim=1) <= 2e-5 * exact.norm(dim=1).clamp_min(1)).all()


def test_a_network_that_lies_about_kappa_is_an_error():
    g = Linear(2, 0.5, 0)
    with torch.no_grad():
        g.matrix *= 4
    with pytest.raises(InputError, match=r"kappa is 0\.5, but the map stretches"):
        ImplicitBlock(g_z=g)(points())
    g.kappa = 2.0
    with pytest.raises(InputError, match="kappa is 2, expected 0 <= kappa < 1"):
        ImplicitBlock(g_z=g)(points())


def test_estimates_serve_training_and_evaluation_is_exact():
    def estimate(g, x, generator):
        return torch.rand(len(x), generator=generator, dtype=x.dtype)

    b, x = block("implicit", log_det=estimate), points()
    exact = ImplicitBlock(b.g_x, b.g_z).forward_and_log_det(x)[1]
    b.generator = generator(3)
    first, second = torch.rand(2, 16, generator=generator(3), dtype=torch.float64)
    assert torch.equal(b.forward_and_log_det(x)[1], first - second)
    torch.testing.assert_close(b.eval().forward_and_log_det(x)[1], exact, rtol=0, atol=1e-12)


def test_a_solver_of_ones_own_serves():
    class Plain:
        def __call__(self, residual, start, kappa, tol):
            z = start
            for _ in range(1500):
                z = z + residual(z)
            f = residual(z).norm(dim=1)
            none = torch.zeros_like(f, dtype=torch.bool)
            return RootResult(z, f, f / (1 - kappa), none.long(), ~none, none)

    x = points()
    with torch.no_grad():
        found = block("implicit", solver=Plain())(x)
        torch.testing.assert_close(found, block("implicit")(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ((None, None), "both None"),
        ((nn.Linear(2, 2), None), "a Linear has no dim or no kappa"),
        ((Linear(2, 0.5, 0), Linear(3, 0.5, 0)), "g_x has dimension 2 and g_z 3"),
    ],
)
def test_networks_that_do_not_fit_are_named(networks, message):
    with pytest.raises(InputError, match=message):
        ImplicitBlock(*networks)
