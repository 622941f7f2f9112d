import math

import pytest
import torch

from cases import generator, normal
from pushforward.flows import ActNorm, Affine, Chain, ImplicitBlock
from pushforward.implicit import LipschitzMLP, Roulette
from pushforward.objectives import LikelihoodObjective, Objective


def test_it_is_the_cross_entropy_with_the_gaussian_that_the_map_describes():
    mean, matrix = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 0.3], [0.3, 1.0]]).double()
    affine = Affine.from_moments(mean, matrix)
    x = normal(50, 2)
    law = torch.distributions.MultivariateNormal(mean, matrix)
    loss = LikelihoodObjective(affine)(x, generator())
    assert set(loss.terms) == {"nll"}
    assert loss.total.item() == pytest.approx(-law.log_prob(x).mean().item(), abs=1e-12)


def test_its_gradient_leads_to_the_moments():
    norm, x = ActNorm(1).double().eval(), normal(1000, 1)
    with torch.no_grad():
        norm.shift.copy_(x.mean(0))
        norm.log_scale.copy_(-x.std(correction=0).log())
    LikelihoodObjective(norm)(x, generator()).total.backward()
    assert norm.shift.grad.abs() < 1e-12 and norm.log_scale.grad.abs() < 1e-12  # the maximum of the likelihood
    assert math.isfinite(LikelihoodObjective(norm)(x, generator()).total.item())


def test_estimates_are_drawn_from_the_generator_given_and_from_no_other():
    block = ImplicitBlock(LipschitzMLP(2, (4,)), log_det=Roulette()).double().train()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(generator=generator(1))
    objective, x = LikelihoodObjective(Chain(2, [block])), normal(8, 2)
    before = torch.get_rng_state()
    values = [objective(x, generator(seed)).total.item() for seed in (3, 3, 4)]
    assert values[0] == values[1] != values[2]
    assert torch.equal(torch.get_rng_state(), before)
    assert block.generator is None  # left as it was


def test_it_is_an_objective():
    assert isinstance(LikelihoodObjective(None), Objective)
