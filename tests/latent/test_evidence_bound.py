"""The bound is exact where the encoder knows the law of the codes: a linear decoder and Gaussian noise."""

import math

import pytest
import torch

from cases import generator, normal
from pushforward.latent import EvidenceBound
from pushforward.latent.objective import drawn

LINES = 100_000  # equal rows, so that the mean over rows is one over draws of the code


class Linear:
    """x = W z + m + σ ε with the exact law of z given x, N(A (x − m), diag), which W's orthogonal columns give."""

    def __init__(self, off: float = 0.0) -> None:
        q = torch.linalg.qr(normal(5, 2, seed=3))[0]
        self.w, self.m = q * torch.tensor([2.0, 0.7], dtype=q.dtype), normal(5, seed=4)
        self.log_noise = torch.tensor(math.log(0.6), dtype=q.dtype)
        precision = 1 + (self.w.T @ self.w).diagonal() / 0.36
        self.a, self.log_sd, self.off = self.w.T / (0.36 * precision[:, None]), -precision.log() / 2, off

    def encode(self, x):
        return (x - self.m) @ self.a.T + self.off, self.log_sd.expand(len(x), 2)

    def decode(self, z):
        return z @ self.w.T + self.m

    def log_prob(self, x):
        cov = self.w @ self.w.T + 0.36 * torch.eye(5, dtype=x.dtype)
        return torch.distributions.MultivariateNormal(self.m, cov).log_prob(x)


def test_the_bound_is_minus_log_p_where_the_posterior_is_exact():
    network = Linear()
    for row in normal(2, 5, seed=5):
        x = row.expand(LINES, 5)
        assert EvidenceBound(network)(x, generator(6)).total.item() == pytest.approx(
            -float(network.log_prob(row)), abs=0.02
        )


def test_the_gap_is_the_divergence_from_the_posterior():
    network, exact = Linear(off=0.4), Linear()
    x = normal(1, 5, seed=5).expand(LINES, 5)
    gap = EvidenceBound(network)(x, generator(6)).total.item() + float(exact.log_prob(x[0]))
    assert gap == pytest.approx(float((0.4**2 / (2 * (2 * exact.log_sd).exp())).sum()), abs=0.03)


def test_the_noise_that_is_best_is_the_spread_of_what_is_missed():
    network, x = Linear(), normal(50, 5, seed=7)
    z = drawn(*network.encode(x), generator(8))
    best = (x - network.decode(z)).square().mean().sqrt().log()
    bounds = {}
    for name, log_noise in (("none", None), ("best", best), ("less", best - 1e-3), ("more", best + 1e-3)):
        network.log_noise = log_noise
        bounds[name] = EvidenceBound(network)(x, generator(8)).total.item()
    assert bounds["none"] == pytest.approx(bounds["best"], rel=1e-13)
    assert bounds["best"] < min(bounds["less"], bounds["more"]) < bounds["best"] + 1e-5


def test_the_best_noise_has_the_gradient_of_the_same_noise_given():
    x, grads = normal(50, 5, seed=7), []
    for given in (False, True):
        network = Linear()
        network.w.requires_grad_(True)
        network.log_noise = None
        missed = EvidenceBound(network).parts(x, generator(8))[0]
        network.log_noise = (missed.detach() / 5).log() / 2 if given else None
        EvidenceBound(network)(x, generator(8)).total.backward()
        grads.append(network.w.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-12, atol=1e-12)


def test_terms_by_hand():
    class Fixed:
        log_noise = torch.tensor(math.log(2.0), dtype=torch.float64)

        def encode(self, x):
            return torch.full((len(x), 3), 2.0).double(), torch.full((len(x), 3), math.log(0.5)).double()

        def decode(self, z):
            return torch.zeros(len(z), 2, dtype=z.dtype)

    loss = EvidenceBound(Fixed(), beta=0.1)(torch.tensor([[3.0, 4.0], [0.0, 0.0]]).double(), generator(0))
    assert float(loss.terms["reconstruction"]) == pytest.approx(12.5 / 8 + 2 * math.log(2) + math.log(2 * math.pi))
    assert float(loss.terms["divergence"]) == pytest.approx(0.1 * 3 * (4 + 0.25 - 1 + 2 * math.log(2)) / 2)


def test_codes_are_drawn_about_the_mean_with_the_spread():
    mean, log_sd = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.5, 3.0]]).double().log()
    z = drawn(mean.expand(LINES, 2), log_sd.expand(LINES, 2), generator(1))
    torch.testing.assert_close(z.mean(0), mean[0], rtol=0, atol=0.03)
    torch.testing.assert_close(z.std(0), log_sd[0].exp(), rtol=0.01, atol=0)
