import math

import numpy as np
import pytest
import torch
from torch import nn

from cases import ExactPrediction, generator, normal
from pushforward.errors import InputError
from pushforward.interpolation import PREDICTIONS, TARGETS, InterpolationVelocity, by_name, loss_floor
from pushforward.objectives import MatchingObjective, couple

LAW = TARGETS["T-A1"].law
BATCHES, BATCH = 25, 1200


class Recorded(nn.Module):
    """A network that remembers what it was asked, and may be off by a smooth amount."""

    def __init__(self, net, off=0.0):
        super().__init__()
        self.net, self.dim, self.off = net, net.dim, off

    def forward(self, clock, x):
        off = self.off * torch.sin(2 * x + 1)
        self.clock, self.x, self.square = clock, x, float(off.square().sum(1).mean())
        return self.net(clock, x) + off


class Silent(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, clock, x):
        return torch.zeros_like(x)


def exact(schedule, prediction, off=0.0, **settings):
    net = Recorded(ExactPrediction(LAW, schedule, prediction), off)
    return MatchingObjective(InterpolationVelocity(net, by_name(schedule), prediction), **settings)


def data(seed):
    return LAW.sample(BATCH, generator(1000 + seed), torch.float64)


def losses(objective, seeds=range(BATCHES)):
    return torch.stack([objective(data(seed), generator(seed)).total for seed in seeds])


def assert_zero_within_four_errors(values):
    assert abs(float(values.mean())) < 4 * float(values.std()) / math.sqrt(len(values))


def floor(schedule, prediction, t_min, t_max, nodes=20):
    """The mean over times of the target's variance given X_t: loss_floor, in units of what the network predicts."""
    schedule = by_name(schedule)
    oracle = TARGETS["T-A1"].make(schedule)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for q, weight in zip(points.tolist(), weights.tolist(), strict=True):
        t = t_min + (t_max - t_min) * (q + 1) / 2
        a, b, w = float(schedule.a(t)), float(schedule.b(t)), float(schedule.w(t))
        gain = {"velocity": 1, "denoiser": w / a**2, "noise": w / (a * b), "angle": w / (a * math.hypot(a, b))}
        total += 0.5 * weight * loss_floor(oracle, t) / gain[prediction] ** 2
    return total


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", ["linear", "vp"])
def test_the_loss_of_the_exact_prediction_is_the_floor(schedule, prediction):
    objective = exact(schedule, prediction, t_min=0.1, t_max=0.95)
    assert_zero_within_four_errors(losses(objective) - floor(schedule, prediction, 0.1, 0.95))


@pytest.mark.parametrize(
    ("schedule", "stop", "wanted"), [("linear", 1.0, 2.47160040), ("trigonometric", 1.0, 3.88238082)]
)
def test_the_golden_floors_of_the_whole_interval(schedule, stop, wanted):
    """The note's numbers are for T-A: T-A1 beside a coordinate N(0, 1/4), whose exact velocity needs no mixture."""
    law = TARGETS["T-A"].law
    net = ExactPrediction(law, schedule, "velocity")
    objective = MatchingObjective(InterpolationVelocity(net, by_name(schedule), "velocity"), 0.0, stop)
    found = [objective(law.sample(BATCH, generator(50 + k), torch.float64), generator(k)).total for k in range(BATCHES)]
    assert_zero_within_four_errors(torch.stack(found) - wanted)


@pytest.mark.parametrize("settings", [{}, {"antithetic": True}], ids=["plain", "antithetic"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_above_the_floor_is_the_mean_square_of_the_error(prediction, settings):
    right, wrong = (exact("trigonometric", prediction, off, **settings) for off in (0.0, 0.3))
    gaps = []
    for seed in range(BATCHES):
        excess = wrong(data(seed), generator(seed)).total - right(data(seed), generator(seed)).total
        gaps.append(excess - wrong.velocity.net.square)
        assert wrong.velocity.net.square > 0.01
    assert_zero_within_four_errors(torch.stack(gaps))


def test_antithetic_pairs_leave_the_expectation_and_calm_the_loss():
    plain, paired = (losses(exact("linear", "angle", 0.3, antithetic=pairs)) for pairs in (False, True))
    assert_zero_within_four_errors(plain - paired)
    seen = exact("linear", "angle", antithetic=True)
    seen(data(0), generator())
    net = seen.velocity.net
    t = torch.tan(net.clock * math.pi / 2)
    t = (t / (1 + t))[:, None]
    x = net.x * torch.hypot(t, 1 - t)
    first, second = x.chunk(2)
    early, late = t.chunk(2)
    torch.testing.assert_close(early, late, rtol=0, atol=0)
    torch.testing.assert_close(first + second, 2 * early * data(0), rtol=0, atol=1e-5)  # z and −z cancel


@pytest.mark.parametrize("emphasis", [1.0, 3.0])
@pytest.mark.parametrize(("t_min", "t_max"), [(0.0, 1.0), (0.2, 0.7)])
def test_times_are_one_in_each_part_of_equal_mass(t_min, t_max, emphasis):
    """1 − t is a power of a uniform draw: undone, there is one uniform draw in every n-th of [0, 1]."""
    objective = exact("linear", "velocity", t_min=t_min, t_max=t_max, emphasis=emphasis)
    times = []
    for seed in range(8):
        objective(data(seed), generator(seed))
        t = objective.velocity.net.clock.clamp(t_min, t_max)  # the velocity stays a hair away from 0 and 1
        times.append((1 - ((t_max - t) / (t_max - t_min)) ** (1 / emphasis)) * BATCH)
    times = [found[: int(0.95 * BATCH)] for found in times]  # the very last are clipped at 1 − 1e-6
    for found in times:
        assert torch.equal(found.floor(), torch.arange(len(found)).double())
    within = torch.stack(times).frac()
    assert_zero_within_four_errors(within.flatten() - 0.5)
    assert float(within.std()) == pytest.approx(12**-0.5, rel=0.05)


def test_the_points_are_those_of_the_interpolation():
    schedule, x1 = by_name("foellmer"), normal(500, 2)
    net = Recorded(Silent(2))
    objective = MatchingObjective(InterpolationVelocity(net, schedule, "noise"), 0.1, 0.9)
    loss = objective(x1, generator(7))
    t = net.clock[:, None]
    z = (net.x - schedule.b(t) * x1) / schedule.a(t)
    torch.testing.assert_close(z, torch.randn(x1.shape, generator=generator(7), dtype=torch.float64))
    assert list(loss.terms) == ["matching"]
    torch.testing.assert_close(loss.total, z.square().sum(1).mean())  # the target is z, the answer 0


@pytest.mark.parametrize("antithetic", [False, True])
def test_transported_noise_is_the_nearest_for_every_copy_of_the_data(antithetic):
    schedule, x1 = by_name("linear"), 2 * normal(100, 2)
    net = Recorded(Silent(2))
    velocity = InterpolationVelocity(net, schedule, "noise")
    MatchingObjective(velocity, 0.1, 0.9, "optimal-transport", antithetic)(x1, generator(7))
    drawn = torch.randn(x1.shape, generator=generator(7), dtype=torch.float64)
    copies = [drawn, -drawn] if antithetic else [drawn]
    parts = list(zip(net.x.split(100), net.clock.split(100), strict=True))
    assert len(parts) == len(copies)
    for (x, t), z in zip(parts, copies, strict=True):
        found = (x - t[:, None] * x1) / (1 - t[:, None])
        torch.testing.assert_close(found, couple(z, x1, "optimal-transport"))


def test_the_gradient_is_that_of_the_loss_and_float32_stays():
    from pushforward.nets import MLP

    velocity = InterpolationVelocity(MLP(2, (8,), "silu", time=True), by_name("trigonometric"), "angle")
    loss = MatchingObjective(velocity, antithetic=True)(normal(50, 2, dtype=torch.float32), generator()).total
    assert loss.dtype == torch.float32
    loss.backward()
    assert velocity.net.layers[-1].weight.grad.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t_min": 0.5, "t_max": 0.5}, "t_min=0.5, t_max=0.5: expected 0 <= t_min < t_max <= 1"),
        ({"t_min": -0.1}, "t_min=-0.1"),
        ({"t_max": 1.5}, "t_max=1.5"),
        ({"coupling": "sinkhorn"}, "coupling 'sinkhorn' is unknown"),
        ({"emphasis": 0.0}, "emphasis is 0.0, expected a positive power"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        exact("linear", "angle", **settings)
