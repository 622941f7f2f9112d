import pytest
import torch

from cases import normal, randomised
from pushforward.families.counting import Counted
from pushforward.flows import Chain, ODEBijection
from pushforward.nets import MLP
from pushforward.numerics import Adaptive, FiniteDifference, FixedGrid

X = normal(6, 2)


def ode(solver):
    return ODEBijection(randomised(MLP(2, (4,), "tanh", time=True).double()), solver)


def spied(velocity):
    """Counts the velocity's own calls."""
    calls, inner = [], velocity.velocity_and_divergence
    velocity.velocity_and_divergence = lambda t, x: calls.append(1) or inner(t, x)
    return calls


@pytest.mark.parametrize("solver", [FixedGrid(3), FixedGrid(2, "midpoint"), Adaptive(1e-6, 1e-6)])
def test_it_counts_the_calls_of_training_and_of_no_other(solver):
    block = ode(solver)
    expected = block.forward_and_log_det(X)
    calls = spied(block.velocity)
    counted = Counted(block).train()
    z, log_det = block.forward_and_log_det(X)
    assert int(counted.evaluations) == len(calls) > 0
    torch.testing.assert_close((z, log_det), expected, rtol=0, atol=0)
    counted.eval()
    block.forward_and_log_det(X)
    assert int(counted.evaluations) == len(calls) / 2


def test_it_counts_the_way_back_of_an_adjoint():
    block = ode(Adaptive(1e-6, 1e-6, adjoint=True))
    calls, counted = spied(block.velocity), Counted(block).train()
    _, log_det = block.forward_and_log_det(X)
    there = int(counted.evaluations)
    log_det.sum().backward()
    assert int(counted.evaluations) == len(calls) > there
    assert all(p.grad is not None for p in block.velocity.parameters() if p.ndim == 2)


def test_a_finite_difference_is_two_passes():
    velocity = randomised(MLP(2, (4,), "tanh", time=True).double())
    calls = []
    velocity.register_forward_hook(lambda *_: calls.append(1))
    block = ODEBijection(velocity, FixedGrid(3), divergence=FiniteDifference())
    counted = Counted(block).train()
    block.forward_and_log_det(X)
    assert int(counted.evaluations) == len(calls) == 3 * 4 * 2


def test_a_chain_counts_all_its_blocks():
    chain = Chain(2, [ode(FixedGrid(3)), ode(FixedGrid(2, "midpoint"))])
    calls = [spied(block.velocity) for block in chain.blocks]
    counted = Counted(chain).train()
    chain.forward_and_log_det(X)
    assert int(counted.evaluations) == sum(map(len, calls)) == 3 * 4 + 2 * 2
    counted.eval()
    chain.forward_and_log_det(X)
    assert int(counted.evaluations) == 16


def test_the_count_travels_with_the_state():
    first, second = (Counted(ode(FixedGrid(3))).train() for _ in range(2))
    first.ode.forward_and_log_det(X)
    second.load_state_dict(first.state_dict())
    second.ode.forward_and_log_det(X)
    assert (int(first.evaluations), int(second.evaluations)) == (12, 24)
