import math

import pytest
import torch

from cases import LinearVelocity, generator, normal, randomised
from pushforward.errors import InputError
from pushforward.flows import Flow, ODEBijection
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid, Hutchinson
from pushforward.objectives import JKOObjective

X = normal(50, 3)


def block(**settings):
    return ODEBijection(randomised(LinearVelocity(3).double(), 0.4), FixedGrid(3), **settings)


@pytest.mark.parametrize("log_det", ["trace", "discrete"])
def test_the_terms_are_those_of_the_paper(log_det):
    part = block(log_det=log_det)
    terms = JKOObjective(part, 0.25)(X).terms
    y, volume = part.forward_and_log_det(X)
    assert list(terms) == ["potential", "volume", "movement"]
    torch.testing.assert_close(terms["potential"], (y**2).sum(1).mean() / 2)
    torch.testing.assert_close(terms["volume"], -volume.mean())
    torch.testing.assert_close(terms["movement"], ((y - X) ** 2).sum(1).mean() / (2 * 0.25))


def test_potential_and_volume_are_the_nll_up_to_its_constant():
    part = block()
    terms = JKOObjective(part, math.inf)(X).terms
    nll = -Flow(part).log_prob(X).mean()
    torch.testing.assert_close(sum(terms.values()), nll - 1.5 * math.log(2 * math.pi))


def test_at_rest_the_loss_is_half_the_mean_square():
    part = ODEBijection(MLP(3, (8,)).double(), FixedGrid(2))
    loss = JKOObjective(part, 0.5)(X)
    torch.testing.assert_close(loss.total, 0.5 * X.square().sum(1).mean())
    assert loss.terms["volume"] == 0 and loss.terms["movement"] == 0


def test_a_free_block_has_no_movement_term():
    assert "movement" not in JKOObjective(block(), math.inf)(X).terms
    large = JKOObjective(block(), 1e12)(X)
    torch.testing.assert_close(JKOObjective(block(), math.inf)(X).total, large.total, rtol=1e-9, atol=0)


def test_the_generator_decides_the_probes():
    objective = JKOObjective(block(divergence=Hutchinson()).train(), 1.0)
    first, same, other = (objective(X, generator(seed)).total for seed in (1, 1, 2))
    assert first == same
    assert first != other


@pytest.mark.parametrize("h", [0.0, -1.0, math.nan])
def test_the_step_size_must_be_positive(h):
    with pytest.raises(InputError, match=f"the step size h is {h}"):
        JKOObjective(block(), h)
