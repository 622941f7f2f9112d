import torch

from cases import LinearVelocity, normal, randomised, student
from pushforward.flows import Affine, Chain, ODEBijection, Radial
from pushforward.numerics import FixedGrid

X = normal(6, 3)


def parts():
    ode = ODEBijection(randomised(LinearVelocity(3).double(), 0.4), FixedGrid(3), "discrete").eval()
    return [Affine.fit(student(300, 3)), Radial.fit(student(300, 3), knots=10), ode]


def test_a_chain_runs_its_blocks_in_order_and_adds_their_log_dets():
    first, second, third = parts()
    chain = Chain(3, [first, second])
    chain.append(third)
    with torch.no_grad():
        torch.testing.assert_close(chain(X), third(second(first(X))))
        torch.testing.assert_close(chain.inverse(X), first.inverse(second.inverse(third.inverse(X))))
        z, log_det = chain.forward_and_log_det(X)
        expected = first.forward_and_log_det(X)[1] + second.forward_and_log_det(first(X))[1]
        expected = expected + third.forward_and_log_det(second(first(X)))[1]
    torch.testing.assert_close(z, chain(X).detach())
    torch.testing.assert_close(log_det, expected)
    assert not torch.allclose(third(second(first(X))), first(second(third(X))))


def test_an_empty_chain_is_the_identity():
    chain = Chain(3)
    z, log_det = chain.forward_and_log_det(X)
    assert torch.equal(z, X) and torch.equal(chain.inverse(X), X) and torch.equal(chain(X), X)
    assert torch.equal(log_det, torch.zeros(6).double())
    assert torch.equal(chain.path(X, 3), X[None])


def test_the_path_of_a_plain_map_is_straight():
    affine = parts()[0]
    path = affine.path(X, 5)
    torch.testing.assert_close(path[1], 0.75 * X + 0.25 * affine(X))
    assert torch.equal(path[0], X)


def test_the_path_of_a_chain_passes_through_every_block():
    first, second, third = parts()
    with torch.no_grad():
        path = Chain(3, [first, second, third]).path(X, 4)
        stops = [X, first(X), second(first(X)), third(second(first(X)))]
    assert path.shape == (10, 6, 3)
    torch.testing.assert_close(path[::3][:3], torch.stack(stops[:3]))
    torch.testing.assert_close(path[-1], stops[3], rtol=0, atol=1e-3)  # a path takes more steps than the map
