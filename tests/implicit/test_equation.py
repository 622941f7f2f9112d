import pytest
import torch
from torch import nn

from cases import jacobian, normal
from pushforward.implicit.equation import Equation, dense_jacobian, forward_mode_jacobian
from pushforward.implicit.lipschitz import LipschitzMLP


def net(dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        g = LipschitzMLP(3, (8,)).to(dtype)
        with torch.no_grad():
            for parameter in g.parameters():
                parameter.normal_()
    g.update_norms()
    return g


def test_the_equation_is_right_hand_side_less_g_less_z():
    g, rhs, z = net(), normal(5, 3, seed=1), normal(5, 3, seed=2)
    torch.testing.assert_close(Equation(g, rhs)(z), rhs - g(z) - z)
    torch.testing.assert_close(Equation(torch.sin, rhs)(z), rhs - torch.sin(z) - z)  # any function will do


@pytest.mark.parametrize("g", [net(), torch.sin], ids=["own", "forward mode"])
def test_its_jacobian_is_that_of_autograd(g):
    equation, z = Equation(g, normal(5, 3, seed=1)), normal(5, 3, seed=2)
    expected = jacobian(equation, z)
    for found in (
        dense_jacobian(equation, z),
        forward_mode_jacobian(equation, z),
        dense_jacobian(equation.__call__, z),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_a_float32_network_is_read_in_float64_and_left_as_it_is():
    g = net(torch.float32)
    before = {name: t.clone() for name, t in g.state_dict().items()}
    rhs, z = normal(5, 3, seed=1), normal(5, 3, seed=2)
    equation = Equation(g, rhs)
    assert equation(z).dtype == equation.jacobian(z).dtype == torch.float64
    single = rhs.float() - g(z.float()) - z.float()
    torch.testing.assert_close(equation(z).float(), single, rtol=0, atol=3e-6)
    noise = (equation(z) - single.double()).abs().max()
    assert noise > 1e-9  # the rounding that float32 would have added
    assert g.training and {p.dtype for p in g.parameters()} == {torch.float32}
    assert all(torch.equal(before[name], t) for name, t in g.state_dict().items())


def test_id_plus_g_is_strongly_monotone_and_g_no_steeper_than_kappa():
    g, z, v = net(), 3 * normal(200, 3, seed=2), normal(200, 3, seed=3)
    kappa = g.eval().kappa
    image = -torch.einsum("nij,nj->ni", Equation(g, z).jacobian(z), v)  # (I + J_g) v
    assert ((v * image).sum(1) >= (1 - kappa) * v.square().sum(1) - 1e-13).all()
    assert ((image - v).norm(dim=1) <= kappa * v.norm(dim=1) + 1e-13).all()


def test_no_graph_is_kept():
    g = net()
    rhs = normal(5, 3, seed=1).requires_grad_()
    with torch.enable_grad():
        assert not Equation(nn.Sequential(g), rhs)(normal(5, 3, seed=2)).requires_grad


def test_a_dense_equation_remembers_the_jacobian_of_its_last_point(monkeypatch):
    g, rhs, z = net(), normal(5, 3, seed=1), normal(5, 3, seed=2)
    equation, plain, calls = Equation(g, rhs, dense=True), Equation(g, rhs), []
    inner = type(equation.g).value_and_jacobian
    monkeypatch.setattr(type(equation.g), "value_and_jacobian", lambda s, x: calls.append(len(x)) or inner(s, x))
    torch.testing.assert_close(equation(z), plain(z), rtol=0, atol=0)
    torch.testing.assert_close(equation.jacobian(z.clone()), jacobian(plain, z), rtol=0, atol=1e-14)
    assert calls == [5]  # one pass for both
    torch.testing.assert_close(equation.jacobian(z + 1), jacobian(plain, z + 1), rtol=0, atol=1e-14)
    assert calls == [5, 5]  # another point is another Jacobian


def test_rows_are_the_same_equation_and_what_they_found_is_put_back():
    g, rhs, z = net(), normal(5, 3, seed=1), normal(5, 3, seed=2)
    equation, chosen = Equation(g, rhs, dense=True), torch.tensor([False, True, False, True, True])
    whole = equation(z)
    part, moved = equation.rows(chosen), z[chosen] + 1
    torch.testing.assert_close(equation.rows(chosen)(z[chosen]), whole[chosen], rtol=0, atol=1e-15)
    part(moved)
    equation.recall(chosen, part)
    expected = z.clone()
    expected[chosen] = moved
    torch.testing.assert_close(equation.last[0], expected, rtol=0, atol=0)
    torch.testing.assert_close(equation.jacobian(expected), jacobian(Equation(g, rhs), expected), rtol=0, atol=1e-14)
