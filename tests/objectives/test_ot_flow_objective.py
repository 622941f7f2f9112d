import math

import pytest
import torch
from torch import nn

from cases import normal, randomised
from pushforward.errors import InputError
from pushforward.flows import ODEBijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.nets import MLP, Potential
from pushforward.numerics import FixedGrid
from pushforward.objectives import Objective, OTFlowObjective

X = normal(30, 3)


class Shrinking(nn.Module):
    """Φ = |x|²/(2(c − t)): the potential that carries x to x (c − 1)/c along straight lines of constant speed |x|/c."""

    dim = 3

    def __init__(self, c=3.0):
        super().__init__()
        self.c = c

    def gradient_and_laplacian(self, t, x):
        rest = self.c - t
        gradient = torch.cat([x / rest, 0.5 * x.square().sum(1, keepdim=True) / rest**2], 1)
        return gradient, (3 / rest).expand(len(x))


def terms(velocity, weights=(1.0, 1.0, 1.0), steps=64, x=X):
    return OTFlowObjective(ODEBijection(velocity, FixedGrid(steps)), weights)(x).terms


def linear(b):
    """Φ = bᵀ[x, t] alone."""
    potential = Potential(3).double()
    with torch.no_grad():
        potential.quadratic.zero_()
        potential.linear.copy_(torch.tensor(b).double())
    return potential


def test_the_optimal_potential_of_a_gaussian_has_the_terms_of_its_closed_form():
    found = terms(Shrinking())
    square = X.square().sum(1).mean().item()
    assert list(found) == ["transport", "likelihood", "hamilton-jacobi"]
    assert found["transport"].item() == pytest.approx(0.5 * square / 9, abs=1e-8)
    likelihood = 0.5 * square * 4 / 9 + 1.5 * math.log(2 * math.pi) - 3 * math.log(2 / 3)
    assert found["likelihood"].item() == pytest.approx(likelihood, abs=1e-8)
    assert found["hamilton-jacobi"].item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(("slope", "violation"), [(2.0, 0.5), (2.5, 0.0), (-1.0, 3.5)])
def test_a_plane_violates_the_equation_by_its_slope_in_time_less_half_its_slope_squared(slope, violation):
    found = terms(linear([1.0, -2.0, 0.0, slope]), steps=1)
    assert found["hamilton-jacobi"].item() == pytest.approx(violation, abs=1e-12)
    assert found["transport"].item() == pytest.approx(2.5, abs=1e-12)
    moved = X - torch.tensor([1.0, -2.0, 0.0]).double()
    assert found["likelihood"].item() == pytest.approx(-standard_normal_log_prob(moved).mean().item(), abs=1e-12)


def test_the_likelihood_is_that_of_the_bijection_in_the_same_steps():
    block = ODEBijection(randomised(Potential(3, 6, 3).double(), 0.5), FixedGrid(3))
    z, log_det = block.forward_and_log_det(X)
    expected = -(standard_normal_log_prob(z) + log_det).mean()
    torch.testing.assert_close(OTFlowObjective(block, (1.0, 1.0, 1.0))(X).terms["likelihood"], expected)


def test_the_weights_stand_before_their_terms():
    velocity = randomised(Potential(3, 6).double(), 0.4)
    single, weighted = terms(velocity, steps=2), terms(velocity, (2.0, 3.0, 5.0), steps=2)
    ratios = [(weighted[name] / single[name]).item() for name in single]
    assert ratios == pytest.approx([2, 3, 5])


def test_every_parameter_is_trained():
    velocity = randomised(Potential(3, 6, 3).double(), 0.4)
    loss = OTFlowObjective(ODEBijection(velocity, FixedGrid(2)))
    assert isinstance(loss, Objective)
    loss(X).total.backward()
    assert all(p.grad.abs().max() > 0 for p in velocity.parameters())


@pytest.mark.parametrize(
    ("velocity", "settings", "clock", "message"),
    [
        (MLP(3), {}, {}, "the velocity is a MLP, expected one with gradient_and_laplacian"),
        (Potential(3), {}, {"t_data": 1.0, "t_latent": 0.0}, "runs from 1.0 to 0.0, expected t_data < t_latent"),
        (Potential(3), {"weights": (1.0, 0.0, 1.0)}, {}, r"weights is \(1.0, 0.0, 1.0\), expected"),
        (Potential(3), {"weights": (-1.0, 1.0, 1.0)}, {}, "weights is"),
        (Potential(3), {"weights": (1.0, 1.0)}, {}, "expected three numbers"),
    ],
)
def test_bad_settings_are_named(velocity, settings, clock, message):
    with pytest.raises(InputError, match=message):
        OTFlowObjective(ODEBijection(velocity, **clock), **settings)
