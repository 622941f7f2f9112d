"""Known answers: what the equations give in closed form, the library must give."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

import pushforward as pf
from cases import LinearVelocity, exact_moments, generator, minimise, normal, randomised, split_of, walk
from pushforward.families import JKO, certify
from pushforward.fit import FitConfig
from pushforward.flows import Chain, Flow, ODEBijection
from pushforward.metrics import integral, kl_to_truth
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.objectives import JKOObjective

MEAN = torch.tensor([1.5, -0.5], dtype=torch.float64)
SD = torch.tensor([3.0, 0.4], dtype=torch.float64)
PLANE = ((-7.0, 7.0), (-7.0, 7.0))


def jko_step(mean, sd, h):
    """One exact JKO step of N(mean, diag sd²) towards N(0, I), in closed form."""
    return mean / (1 + h), (sd + torch.sqrt(sd**2 + 4 * h * (1 + h))) / (2 * (1 + h))


def kl(mean, sd):
    """KL(N(mean, diag sd²) ‖ N(0, I))."""
    return float(0.5 * (sd**2 + mean**2 - 1 - 2 * sd.log()).sum())


@pytest.fixture
def linear(monkeypatch):
    monkeypatch.setitem(NETS, "linear", LinearVelocity)
    return {"velocity": {"kind": "linear"}, "precondition": ()}


class Trained:
    """What ``minimise`` needs of a stage."""

    def __init__(self, block, h, points):
        self.module, self.objective, self.points = block, JKOObjective(block, h), points


# --- the Gaussian JKO step --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solver", "log_det", "tolerance"),
    [(FixedGrid(2), "discrete", 1e-8), (FixedGrid(30), "trace", 1e-6), (FixedGrid(60, "midpoint"), "trace", 1e-3)],
    ids=["discrete", "trace", "midpoint"],
)
@pytest.mark.parametrize("h", [0.1, 2.0])
def test_a_trained_block_is_the_closed_form_step(solver, log_det, tolerance, h):
    x = exact_moments(300, MEAN, SD)
    block = ODEBijection(LinearVelocity(2).double(), solver, log_det)
    minimise(Trained(block, h, x))
    y = block(x).detach()
    mean, sd = jko_step(MEAN, SD, h)
    torch.testing.assert_close(y.mean(0), mean, rtol=0, atol=tolerance)
    torch.testing.assert_close(torch.cov(y.T, correction=0), torch.diag(sd**2), rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("h", [0.1, 2.0])
def test_an_autonomous_velocity_realises_the_variance_part(h):
    x = exact_moments(300, torch.zeros(2).double(), SD)
    _, sd = jko_step(MEAN, SD, h)
    velocity = LinearVelocity(2).double()
    with torch.no_grad():
        velocity.matrix += torch.diag((sd / SD).log())
    block = ODEBijection(velocity, Adaptive(1e-12, 1e-12))
    torch.testing.assert_close(block(x).std(0, correction=0), sd, rtol=1e-9, atol=0)
    loss = JKOObjective(block, h)(x).total
    expected = 0.5 * sd.square().sum() - (sd / SD).log().sum() + (sd - SD).square().sum() / (2 * h)
    torch.testing.assert_close(loss, expected)
    for parameter in velocity.parameters():
        assert torch.autograd.grad(loss, parameter, retain_graph=True)[0].abs().max() < 1e-8


def test_the_loss_at_the_optimum_is_below_all_its_neighbours():
    x = exact_moments(300, MEAN, SD)
    block = ODEBijection(LinearVelocity(2).double(), FixedGrid(2), "discrete")
    stage = Trained(block, 0.7, x)
    minimise(stage)
    best = stage.objective(x).total
    with torch.no_grad():
        for parameter in block.parameters():
            for index in range(parameter.numel()):
                for step in (-1e-3, 1e-3):
                    parameter.view(-1)[index] += step
                    assert stage.objective(x).total > best + 1e-8
                    parameter.view(-1)[index] -= step


def test_the_family_follows_the_analytic_trajectory_block_by_block(linear):
    family = JKO(**linear, blocks=4, h0=0.5, growth=1.5, h_max=1.0, stop_ratio=0)
    train, val = exact_moments(300, MEAN, SD), exact_moments(200, MEAN, SD, seed=1)
    flow, history = walk(family, split_of(train, val))
    entropy = float(SD.log().sum()) + math.log(2 * math.pi * math.e)
    mean, sd = MEAN, SD
    assert history.stages[0]["val_nll"] - entropy == pytest.approx(kl(mean, sd), abs=1e-9)
    for row, h in zip(history.stages[1:], (0.5, 0.75, 1.0, 1.0), strict=True):
        before = (mean, sd)
        mean, sd = jko_step(mean, sd, h)
        moved = float(((mean - before[0]) ** 2 + (sd - before[1]) ** 2).sum())
        assert row["h"] == h
        assert row["movement"] == pytest.approx(moved, abs=1e-6)
        assert row["ratio"] == pytest.approx(moved / float((mean**2 + sd**2).sum()), abs=1e-6)
        assert row["val_nll"] - entropy == pytest.approx(kl(mean, sd), abs=1e-6)
        assert kl(mean, sd) + moved / (2 * h) < kl(*before)  # the proximal step pays for its way
    torch.testing.assert_close(flow.bijection(train).mean(0), mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(flow.bijection(train).std(0, correction=0), sd, rtol=0, atol=1e-6)


def test_the_training_loop_comes_to_the_same_trajectory(linear):
    config = FitConfig(iterations=200, batch=300, lr=0.05, warmup=10)
    family = JKO(**linear, blocks=2, h0=0.5, growth=2.0, stop_ratio=0, fit=config)
    flow, history = pf.train(family, split_of(exact_moments(400, MEAN, SD)), device="cpu")
    mean, sd = jko_step(*jko_step(MEAN, SD, 0.5), 1.0)
    z = flow.bijection(exact_moments(400, MEAN, SD))
    torch.testing.assert_close(z.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(z.std(0, correction=0), sd, rtol=0.03, atol=0)
    entropy = float(SD.log().sum()) + math.log(2 * math.pi * math.e)
    assert history.stages[-1]["val_nll"] - entropy == pytest.approx(kl(mean, sd), abs=0.02)


# --- densities integrate to one ---------------------------------------------------------------------------------------

MIXTURE = pf.distributions.GaussianMixture(
    [0.5, 0.3, 0.2], [[-1.5, 0.0], [1.0, 1.2], [1.2, -1.0]], scales=[0.5, 0.4, 0.6]
)
CONFIG = FitConfig(iterations=60, batch=400, lr=1e-2, warmup=5)


def drawn(n, seed):
    return MIXTURE.sample(n, generator(seed), torch.float64)


@pytest.fixture(scope="module", params=["lattice", "mlp"])
def trained(request):
    """A briefly trained flow and its history."""
    velocity = {"lattice": {"kind": "lattice", "sizes": (16, 8)}, "mlp": {"kind": "mlp", "widths": (24, 24)}}
    family = JKO(velocity[request.param], blocks=3, h0=0.5, stop_ratio=0, fit=CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certify, "PROBES", 2000)  # fewer points to look for folds at: the integral will tell
        return pf.train(family, split_of(drawn(4000, 0), drawn(4000, 1)), device="cpu")


def after_each_block(flow):
    blocks = list(flow.bijection.blocks)
    return [Flow(Chain(2, blocks[:k])) for k in range(1, len(blocks) + 1)]


def test_the_density_integrates_to_one_after_every_block(trained):
    for flow in after_each_block(trained[0]):
        assert integral(flow, PLANE, resolution=160) == pytest.approx(1, abs=1e-3)


def test_every_block_brings_the_flow_nearer_to_the_truth(trained):
    flow, history = trained
    x = drawn(4000, 2)
    divergences = [kl_to_truth(MIXTURE, stage, x).value for stage in after_each_block(flow)]
    assert all(later < earlier for earlier, later in pairwise(divergences))
    assert divergences[-1] < 0.5 * divergences[0]
    levels = [row["val_nll"] for row in history.stages]
    assert all(later < earlier for earlier, later in pairwise(levels))
    for before, row in pairwise(history.stages):  # at the minimum KL falls by more than the movement costs
        assert row["val_nll"] + row["movement"] / (2 * row["h"]) < before["val_nll"]
    ratios = [row["ratio"] for row in history.stages[1:]]
    assert ratios[-1] < ratios[0]


def test_the_loss_of_every_block_is_below_its_value_at_rest(trained):
    flow, _ = trained
    whitened, *blocks = flow.bijection.blocks
    with torch.no_grad():
        x = whitened(drawn(4000, 0))
        for block, h in zip(blocks, (0.5, 0.7, 0.98), strict=True):
            assert JKOObjective(block, h)(x).total < 0.5 * x.square().sum(1).mean() - 1e-3
            x = block(x)


def one_midpoint_step(log_det, rate=-1.0):
    velocity = LinearVelocity(2).double()
    with torch.no_grad():
        velocity.matrix += rate * torch.eye(2)
    return Flow(ODEBijection(velocity, FixedGrid(1, "midpoint"), log_det)).eval()


def test_a_grid_too_coarse_for_the_trace_misses_one_and_the_discrete_log_det_does_not():
    box = ((-14.0, 14.0), (-14.0, 14.0))
    found = integral(one_midpoint_step("trace"), box, resolution=200)
    assert found == pytest.approx(math.exp(-2) / 0.5**2, abs=1e-6)  # e^{tr A} over the determinant of 1 + A + A²/2
    assert integral(one_midpoint_step("discrete"), box, resolution=200) == pytest.approx(1, abs=1e-6)


def test_a_coarse_grid_on_a_network_misses_one_and_a_finer_one_does_not():
    velocity = randomised(NETS["mlp"](2, (8, 8), "tanh").double(), 0.5, seed=6)
    values = [integral(Flow(ODEBijection(velocity, FixedGrid(n, "midpoint"))), PLANE, 150) for n in (1, 16)]
    assert abs(values[0] - 1) > 1e-2
    assert abs(values[1] - 1) < 1e-3
    discrete = Flow(ODEBijection(velocity, FixedGrid(1, "midpoint"), "discrete")).eval()
    assert integral(discrete, PLANE, 150) == pytest.approx(1, abs=1e-3)


# --- the small-step limit ---------------------------------------------------------------------------------------------

LINE = pf.distributions.GaussianMixture([0.4, 0.6], [[-1.2], [1.0]], scales=[0.5, 0.7])


class Bumps(nn.Module):
    """v(x) = Σ θ_j exp(−(x − c_j)²/2w²) + θ x, linear in θ: its minimum is found to the last digit."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.centres = torch.linspace(-2.8, 2.8, 9, dtype=torch.float64)
        self.weights = nn.Parameter(torch.zeros(10, 1, dtype=torch.float64))

    def basis(self, x):
        return torch.cat([torch.exp(-0.5 * ((x - self.centres) / 0.7) ** 2), x], 1)

    def forward(self, t, x):
        return self.basis(x) @ self.weights


def quantiles(n):
    """Points that stand for the law itself: its quantiles at the middles of n equal parts."""
    fine = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
    mass = LINE.log_prob(fine[:, None]).exp().cumsum(0)
    level = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return fine[torch.searchsorted(mass / mass[-1], level)][:, None]


def test_a_small_step_learns_the_difference_of_the_scores():
    x = quantiles(2000)
    y = x.clone().requires_grad_()
    score = torch.autograd.grad(LINE.log_prob(y).sum(), y)[0]
    wanted = -x - score  # s_q − s_p, the velocity of the Fokker–Planck equation
    basis = Bumps().basis(x)
    nearest = basis @ torch.linalg.lstsq(basis, wanted).solution  # the best that this family of fields can do
    assert relative_error(nearest, wanted) < 0.12
    errors = []
    for h in (0.1, 0.025, 0.00625):
        block = ODEBijection(Bumps(), FixedGrid(1), "discrete")
        minimise(Trained(block, h, x))
        errors.append(relative_error(block.velocity(0.0, x).detach() / h, nearest))
    assert errors[1] < 0.45 * errors[0] and errors[2] < 0.4 * errors[1]
    assert errors[2] < 0.05


def relative_error(found, wanted):
    return float(((found - wanted).square().mean() / wanted.square().mean()).sqrt())


def test_the_stopping_rule_fires_on_normal_data():
    config = FitConfig(iterations=40, batch=300, lr=1e-3)
    family = JKO(velocity={"kind": "mlp", "widths": (8,)}, blocks=5, fit=config)
    _, history = pf.train(family, split_of(normal(3000, 2)), device="cpu")
    assert [row["stage"] for row in history.stages] == ["start", "block-1"]
    assert history.stages[1]["ratio"] < 0.01
