import math

import numpy as np
import pytest
import torch
from torch import nn

from cases import ExactPrediction, generator, normal
from pushforward.errors import InputError
from pushforward.interpolation import PREDICTIONS, TARGETS, InterpolationVelocity, by_name
from pushforward.nets import MLP
from pushforward.objectives import EvidenceObjective, evidence

TARGET = TARGETS["T-A1"]  # half N(1, 1/4), half N(-1, 1/4), on the line
SCHEDULES = ["vp", "foellmer", "trigonometric", "vp-linear-20", "vp-quadratic-5", "vp-constant-1"]
BATCHES, BATCH = 25, 500
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


class OfNormal(nn.Module):
    """ẑ = a y, the noise in data N(0, I): the score s = −y."""

    def __init__(self, dim, schedule):
        super().__init__()
        self.dim, self.schedule = dim, by_name(schedule)

    def forward(self, clock, x):
        return self.schedule.a(clock)[:, None] * x


class Off(nn.Module):
    """A prediction that is off by a constant."""

    def __init__(self, net, off):
        super().__init__()
        self.net, self.dim, self.off = net, net.dim, off

    def forward(self, clock, x):
        return self.net(clock, x) + self.off


def objective(net, schedule, prediction="noise", t_min=0.02, t_max=0.98, **settings):
    return EvidenceObjective(InterpolationVelocity(net, by_name(schedule), prediction), t_min, t_max, **settings)


def bounds(loss, data, seeds=range(BATCHES)):
    return torch.stack([loss(data(seed), generator(seed)).total for seed in seeds])


def assert_mean(values, wanted):
    assert values.isfinite().all()
    assert abs(float(values.mean()) - wanted) < 4 * float(values.std()) / math.sqrt(len(values)) + 1e-12


def mass(low=-8.0, high=8.0, nodes=1001):
    x = torch.linspace(low, high, nodes, dtype=torch.float64)[:, None]
    return x, (high - low) / (nodes - 1)


@every_schedule
def test_standard_normal_data_gives_equality_at_every_point(schedule):
    """Not on average over the data alone: the bound given x is E[−log N(y(t_max); 0, I)] given x."""
    x = torch.tensor([[1.7, -0.4, 0.3]], dtype=torch.float64)
    loss = objective(OfNormal(3, schedule), schedule, antithetic=True)
    last = by_name(schedule).at(0.98)
    wanted = 1.5 * math.log(2 * math.pi) + 0.5 * float(3 * last.a2 + last.b**2 * x.square().sum())
    assert_mean(bounds(loss, lambda seed: x.expand(BATCH, -1)), wanted)


@pytest.mark.parametrize(
    ("schedule", "prediction"), [*((name, "noise") for name in SCHEDULES), *(("vp-linear-20", p) for p in PREDICTIONS)]
)
def test_the_exact_score_leaves_the_divergence_of_the_noisy_end(schedule, prediction):
    """bound = H(p_{t_max}) + KL(p_{t_min} ‖ N(0, 1)), both by quadrature."""
    oracle = TARGET.make(by_name(schedule))
    x, dx = mass()
    first, last = (oracle.log_prob(t, x) for t in (0.02, 0.98))
    base = -0.5 * x[:, 0].square() - 0.5 * math.log(2 * math.pi)
    wanted = dx * float((first.exp() * (first - base)).sum() - (last.exp() * last).sum())
    loss = objective(ExactPrediction(TARGET.law, schedule, prediction), schedule, prediction)
    assert_mean(bounds(loss, lambda seed: TARGET.law.sample(BATCH, generator(500 + seed), torch.float64)), wanted)


@every_schedule
def test_an_error_of_the_noise_costs_its_square_over_the_range_of_the_signal(schedule):
    off = torch.tensor([0.3, -0.2], dtype=torch.float64)
    right, wrong = (objective(Off(OfNormal(2, schedule), o), schedule, antithetic=True) for o in (0 * off, off))
    gaps = [
        wrong(x, generator(seed)).total - right(x, generator(seed)).total
        for seed in range(BATCHES)
        for x in [normal(BATCH, 2, seed=700 + seed)]
    ]
    first, last = (by_name(schedule).at(t) for t in (0.02, 0.98))
    ratio = float((first.a2 / first.b**2).log() - (last.a2 / last.b**2).log())
    assert_mean(torch.stack(gaps), 0.5 * 0.13 * ratio)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_is_held_to_the_same_bound(prediction):
    """The same wrong field, told in four ways, has the same loss on the same draws."""
    oracle = ExactPrediction(TARGET.law, "vp-quadratic-5", prediction)
    velocity = InterpolationVelocity(oracle, by_name("vp-quadratic-5"), prediction)

    class Told(nn.Module):
        """Adds to the prediction what moves ẑ by 0.2."""

        dim = 1

        def forward(self, clock, x):
            if prediction == "angle":  # the clock is 2φ/π with tan φ = b/a, so b = sin φ
                b = torch.sin(clock * math.pi / 2)[:, None]
                return oracle(clock, x) - 0.2 / b
            s = velocity.schedule
            a, b, w = (curve(clock)[:, None] for curve in (s.a, s.b, s.w))
            return (
                oracle(clock, x) + {"noise": 0.2, "denoiser": -0.2 * a / b, "velocity": -0.2 * w / (a * b)}[prediction]
            )

    told = EvidenceObjective(InterpolationVelocity(Told(), velocity.schedule, prediction), 0.02, 0.98)
    noise = objective(Off(ExactPrediction(TARGET.law, "vp-quadratic-5", "noise"), 0.2), "vp-quadratic-5")
    x = TARGET.law.sample(300, generator(3), torch.float64)
    torch.testing.assert_close(told(x, generator(4)).total, noise(x, generator(4)).total, rtol=1e-9, atol=0)


@every_schedule
def test_times_are_all_but_uniform_in_the_signal_to_noise_ratio(schedule):
    loss = objective(OfNormal(1, schedule), schedule)
    t, weight = loss._times(4000, generator())
    assert ((t > 0.02) & (t < 0.98)).all() and (t.diff() > 0).all()
    curve = by_name(schedule)
    level = (curve.a2(t) / curve.b(t) ** 2).log()
    ends = torch.tensor([0.02, 0.98], dtype=torch.float64)
    first, last = (curve.a2(ends) / curve.b(ends) ** 2).log().tolist()
    torch.testing.assert_close(weight, torch.full_like(weight, first - last), rtol=0.02, atol=0)
    share = (first - level) / (first - last)
    wanted = (torch.arange(4000) + 0.5) / 4000
    assert (share - wanted).abs().max() < 1e-3


def test_the_mean_of_the_weights_does_not_hang_on_the_table(monkeypatch):
    """A coarse table has weights that vary much, with the same integral."""
    monkeypatch.setattr(evidence, "CELLS", 3)
    loss = objective(OfNormal(1, "vp-linear-20"), "vp-linear-20")
    t, weight = loss._times(200_000, generator())
    assert float(weight.max() / weight.min()) > 1.5
    curve = by_name("vp-linear-20")
    nodes, gauss = np.polynomial.legendre.leggauss(400)
    s = torch.as_tensor(0.5 + 0.48 * nodes)
    slope = 2 * curve.w(s) / (curve.a2(s) * curve.b(s))
    wanted = 0.48 * float((torch.as_tensor(gauss) * slope * s).sum())
    assert float((weight * t).mean()) == pytest.approx(wanted, rel=1e-4)


def test_terms_dtype_and_gradient():
    loss = objective(MLP(2, (8,), "silu", time=True), "vp-quadratic-5", antithetic=True)
    found = loss(normal(50, 2, dtype=torch.float32), generator())
    assert list(found.terms) == ["matching", "fixed"]
    assert found.total.dtype == torch.float32
    found.total.backward()
    assert loss.velocity.net.layers[-1].weight.grad.any()
    assert not found.terms["fixed"].requires_grad


def test_antithetic_pairs_share_point_and_time():
    seen = []

    class Listens(OfNormal):
        def forward(self, clock, x):
            seen.append((clock, x))
            return super().forward(clock, x)

    x = normal(40, 2)
    objective(Listens(2, "vp"), "vp", antithetic=True)(x, generator())
    (clock, y), b = seen[0], by_name("vp").b(seen[0][0])
    assert torch.equal(clock[:40], clock[40:])
    torch.testing.assert_close(y[:40] + y[40:], 2 * b[:40, None] * x)


@pytest.mark.parametrize(
    ("schedule", "t_min", "t_max", "message"),
    [
        ("vp", 0.5, 0.5, "t_min=0.5, t_max=0.5: expected 0 <= t_min < t_max < 1"),
        ("vp", -0.1, 0.5, "t_min=-0.1"),
        ("vp", 0.0, 1.0, "t_max=1.0: expected"),
        ("linear", 0.1, 0.9, "schedule 'linear' has a² \\+ b² ≠ 1"),
        ("ve", 0.1, 0.9, "schedule 've' has"),
        ("foellmer", 0.0, 0.9, "b is 0 at t_min=0.0 under schedule 'foellmer'"),
    ],
)
def test_bad_settings_are_named(schedule, t_min, t_max, message):
    with pytest.raises(InputError, match=message):
        objective(OfNormal(1, schedule), schedule, "noise", t_min, t_max)
