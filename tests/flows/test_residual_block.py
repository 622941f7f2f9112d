import pytest
import torch
from torch import nn

from cases import generator, jacobian, normal, randomised
from pushforward.errors import InputError, NonFinite, NotConverged, NotInvertible
from pushforward.flows import ResidualBlock
from pushforward.nets import MLP

X = normal(40, 3)


class Linear(nn.Module):
    """g(x) = x diag(rates)."""

    def __init__(self, *rates):
        super().__init__()
        self.dim, self.rates = len(rates), torch.tensor(rates, dtype=torch.float64)

    def forward(self, t, x):
        return x * self.rates


class Flat(nn.Module):
    """g(x) = tanh x − x, so that the block is tanh: its values stay within (−1, 1)."""

    dim = 2

    def forward(self, t, x):
        return torch.tanh(x) - x


def test_an_expanding_block_is_inverted_by_newton():
    """Far from a contraction: Lip g = 4."""
    block = ResidualBlock(Linear(4.0, -0.9, 0.3)).eval()
    z, log_det = block.forward_and_log_det(X)
    torch.testing.assert_close(z, X * torch.tensor([5.0, 0.1, 1.3], dtype=torch.float64))
    torch.testing.assert_close(log_det, torch.full((40,), 5 * 0.1 * 1.3, dtype=torch.float64).log())
    torch.testing.assert_close(block.inverse(z), X, rtol=0, atol=1e-12)


def test_what_no_point_is_sent_to_has_no_inverse():
    block = ResidualBlock(Flat()).eval()
    inside = 0.9 * torch.tanh(normal(10, 2))
    torch.testing.assert_close(block(block.inverse(inside)), inside, rtol=0, atol=1e-13)
    with pytest.raises(NotConverged, match="whose network nothing bounds cannot be inverted .*2 points.*larger gamma"):
        block.inverse(torch.cat([inside, torch.tensor([[1.5, 0.0], [0.0, -2.0]], dtype=torch.float64)]))


def test_a_fold_is_an_error_in_evaluation_and_a_barrier_in_training():
    block = ResidualBlock(Linear(-3.0, 1.0, 1.0))  # determinant (1 − 3) · 2 · 2 = −8
    with pytest.raises(NotInvertible, match="40 of 40 points meet a determinant that is not positive"):
        block.eval().forward_and_log_det(X)
    _, value = block.train().forward_and_log_det(X)
    torch.testing.assert_close(
        value, torch.full_like(value, torch.tensor(0.05).log() + (-8 - 0.05) / 0.05), rtol=1e-6, atol=0
    )


def test_training_and_evaluation_agree_where_nothing_folds():
    block = ResidualBlock(randomised(MLP(3, (8, 8), "silu").double(), 0.3))
    found = [block.train(mode).forward_and_log_det(X)[1].detach() for mode in (True, False)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-13)
    expected = torch.linalg.slogdet(jacobian(block, X))[1]
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)


def test_the_series_is_for_training_alone_and_right_on_average():
    net = randomised(MLP(3, (8,), "tanh").double(), 0.15)
    exact = ResidualBlock(net).eval().forward_and_log_det(X)[1].detach()
    block = ResidualBlock(net, terms=12)
    torch.testing.assert_close(block.eval().forward_and_log_det(X)[1].detach(), exact, rtol=0, atol=0)
    block.train().generator = generator()
    estimates = torch.stack([block.forward_and_log_det(X)[1].detach() for _ in range(200)])
    error = estimates.std(0) / 200**0.5
    assert (estimates[0] != exact).any()
    assert ((estimates.mean(0) - exact).abs() < 4.5 * error + 1e-9).all()
    block.generator = generator()
    assert torch.equal(block.forward_and_log_det(X)[1], estimates[0])


def test_bad_input_is_named():
    with pytest.raises(InputError, match="terms is -1"):
        ResidualBlock(Linear(1.0), terms=-1)
    with pytest.raises(NonFinite, match="gives NaN"):
        ResidualBlock(Linear(float("nan"), 1.0, 1.0)).eval().forward_and_log_det(X)
