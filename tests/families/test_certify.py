"""No result from a map that folds or a solver that misses."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from cases import LinearVelocity, exact_moments, normal, split_of, walk
from pushforward.errors import NotInvertible
from pushforward.families import JKO, certify, pushing
from pushforward.flows import Flow
from pushforward.nets import NETS

X = exact_moments(400, torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 0.7]).double())


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr(certify, "PROBES", 150)
    monkeypatch.setattr(pushing, "PIECE", 150)


def still(stage):
    """Train nothing: every block stays what it was built as."""


class Ripple(nn.Module):
    """v(x) = a sin(3x) in each coordinate, with a set by the test."""

    def __init__(self, dim, amplitude):
        super().__init__()
        self.dim = dim
        self.amplitude = nn.Parameter(torch.tensor(float(amplitude)))

    def forward(self, t, x):
        return self.amplitude * torch.sin(3 * x)


@pytest.fixture
def rippled(monkeypatch):
    monkeypatch.setitem(NETS, "ripple", Ripple)
    monkeypatch.setitem(NETS, "linear", LinearVelocity)

    def family(amplitude, **settings):
        return JKO(
            {"kind": "ripple", "amplitude": amplitude},
            blocks=1,
            method="midpoint",
            steps=1,
            stop_on_rise=False,
            **settings,
        )

    return family


def test_steps_are_doubled_until_a_block_neither_folds_nor_moves_with_the_solver(rippled):
    flow, history = walk(rippled(0.8), split_of(X), still)
    block = flow.bijection.blocks[1]
    steps = history.stages[1]["steps"]
    assert steps == block.solver.steps and steps in (8, 16, 32)
    assert (block.step_determinants(X)[1] > 0).all()
    coarse, fine = (replace(block.solver, steps=n) for n in (steps, 2 * steps))
    assert block.solver == coarse
    x = flow.bijection.blocks[0](X)
    nll = []
    for block.solver in (coarse, fine):
        nll.append(-Flow(block).log_prob(x).mean().item())
    assert abs(nll[0] - nll[1]) < certify.GAP
    assert walk(rippled(0.001), split_of(X), still)[1].stages[1]["steps"] == 1


def test_the_trace_is_compared_with_a_finer_solver_too(rippled):
    _, history = walk(rippled(1.0, log_det="trace"), split_of(X), still)
    assert history.stages[1]["steps"] > 1


def test_folds_are_looked_for_beyond_the_points(rippled, monkeypatch):
    """Points where nothing folds and no other fault shows: only the box around them can find the folds between them."""
    monkeypatch.setattr(certify, "GAP", math.inf)
    x = torch.cat([torch.full((200, 1), 0.95), torch.full((200, 1), -0.95)]).double() + 0.01 * normal(400, 1)
    family = rippled(1.0, precondition=())
    assert (family.block(1).double().step_determinants(x)[1] > 0).all()
    _, history = walk(family, split_of(x), still)
    assert history.stages[1]["steps"] > 1


def test_folds_are_looked_for_at_held_out_points(rippled, monkeypatch):
    monkeypatch.setattr(certify, "GAP", math.inf)
    x, held_out = 0.03 * normal(400, 1), torch.tensor([[0.4]]).double()  # the box around x does not reach 0.4
    family = rippled(1.0, precondition=())
    assert (family.block(1).double().step_determinants(x)[1] > 0).all()
    assert walk(family, split_of(x), still)[1].stages[1]["steps"] == 1
    assert walk(family, split_of(x, held_out), still)[1].stages[1]["steps"] > 1


@pytest.mark.parametrize("log_det", ["discrete", "trace"])
def test_a_block_that_no_solver_resolves_is_an_error(rippled, monkeypatch, log_det):
    monkeypatch.setattr(certify, "MADE_UP", math.inf)
    with pytest.raises(NotInvertible, match="a block with 64 steps (still folds|moves its NLL by).*lower h0"):
        walk(rippled(500.0, log_det=log_det), split_of(X), still)


def test_a_block_that_is_dropped_need_not_be_resolved(rippled):
    """It raises the NLL and no coarse grid resolves it: an error where it is kept, no matter where it is dropped."""
    family = rippled(-5.0, log_det="trace")
    with pytest.raises(NotInvertible, match="NLL moves by"):
        walk(family, split_of(X), still)
    flow, history = walk(replace(family, stop_on_rise=True), split_of(X), still)
    assert not history.stages[1]["kept"] and len(flow.bijection.blocks) == 1


def test_an_nll_that_the_solver_made_up_is_an_error(rippled):
    with pytest.raises(NotInvertible, match="NLL moves by .* nats when its 1 steps .* exploited the coarse grid"):
        walk(rippled(3.0, log_det="trace"), split_of(X), still)


def test_half_trained_folds_do_not_stop_the_training(rippled):
    found = []

    def look(stage):
        stage.module.eval()
        found.append(stage.validate())
        with torch.no_grad():
            stage.module.velocity.amplitude.zero_()
        found.append(stage.validate())

    walk(rippled(0.8), split_of(X), look)
    assert found[0] is None
    assert math.isfinite(found[1])
