import math

import pytest
import torch

from cases import CASES, normal
from pushforward.errors import NonFinite
from pushforward.families import pushing
from pushforward.families.pushing import nll, push, push_with_log_det, some
from pushforward.flows import Chain, Flow


@pytest.fixture
def small_pieces(monkeypatch):
    """How many points each call of the bijection got."""
    monkeypatch.setattr(pushing, "PIECE", 7)
    bijection, sizes = CASES["discrete-mlp"].build(torch.float64).eval(), []
    for name in ("forward", "forward_and_log_det"):
        method = getattr(bijection, name)
        monkeypatch.setattr(bijection, name, lambda x, method=method: sizes.append(len(x)) or method(x))
    return bijection, sizes


def test_pieces_join_to_the_whole(small_pieces):
    bijection, sizes = small_pieces
    x = normal(20, 3)
    z, log_det = push_with_log_det(bijection, x)
    assert sizes == [7, 7, 6]
    torch.testing.assert_close(push(bijection, x), z, rtol=0, atol=1e-14)
    assert sizes == [7, 7, 6] * 2
    expected_z, expected = type(bijection).forward_and_log_det(bijection, x)
    torch.testing.assert_close(z, expected_z.detach(), rtol=0, atol=1e-14)
    torch.testing.assert_close(log_det, expected.detach(), rtol=0, atol=1e-14)


def test_no_graph_is_kept(small_pieces):
    bijection, _ = small_pieces
    x = normal(5, 3).requires_grad_()
    assert not push(bijection, x).requires_grad
    assert not any(part.requires_grad for part in push_with_log_det(bijection, x))


def test_the_nll_is_that_of_the_flow():
    bijection, x = CASES["chain"].build(torch.float64).eval(), normal(30, 3)
    found = nll(*push_with_log_det(bijection, x))
    assert found == pytest.approx(-Flow(bijection).log_prob(x).mean().item(), abs=1e-12)
    z = normal(8, 3)
    closed = float(0.5 * z.square().sum(1).mean()) + 1.5 * math.log(2 * math.pi) - 0.25
    assert nll(z, torch.full((8,), 0.25).double()) == pytest.approx(closed, abs=1e-12)


def test_a_target_takes_part_in_the_nll():
    chain, target = CASES["chain"].build(torch.float64).eval(), CASES["affine"].build(torch.float64)
    x = normal(30, 3)
    found = nll(*push_with_log_det(chain, x), target)
    assert found == pytest.approx(-Flow(Chain(3, [chain, target])).log_prob(x).mean().item(), abs=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_nll_that_is_no_number_is_an_error(bad):
    with pytest.raises(NonFinite, match=f"the validation NLL is {bad}, expected a finite number"):
        nll(normal(3, 2), torch.tensor([0.0, -bad, 0.0]).double())


def test_some_rows_are_the_same_every_time_and_from_everywhere():
    x = torch.arange(1000.0)[:, None]
    few = some(x, 100, "test points")
    assert torch.equal(few, some(x, 100, "test points")) and len(few.unique()) == 100
    assert 300 < few.mean() < 700  # the first hundred have a mean of 50
    assert some(x, 1000, "test points") is x
