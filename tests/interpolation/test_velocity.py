"""Velocities through a network: the exact conditional expectation as the network must give the exact velocity."""

import math

import pytest
import torch
from torch import nn

from cases import ExactPrediction, generator, jacobian, normal, randomised
from pushforward.distributions import standard_normal
from pushforward.errors import InputError
from pushforward.flows import Flow, ODEBijection, load_flow, save_flow
from pushforward.interpolation import (
    PREDICTIONS,
    SCHEDULES,
    TARGETS,
    InterpolationVelocity,
    MixtureInterpolation,
    by_name,
)
from pushforward.interpolation.flow_map import transport
from pushforward.nets import MLP, Lattice, TimeLattice
from pushforward.numerics import FixedGrid

TIMES = (0.01, 0.1, 0.37, 0.5, 0.8, 0.95, 0.99)
schedules = pytest.mark.parametrize("schedule", SCHEDULES)
predictions = pytest.mark.parametrize("prediction", PREDICTIONS)


class Zero(nn.Module):
    dim = 2

    def forward(self, clock, x):
        return torch.zeros_like(x)


def learned(prediction, schedule, net=None):
    net = net or randomised(MLP(2, (8,), "silu", time=True).double())
    return InterpolationVelocity(net, by_name(schedule), prediction)


def close(found, expected, atol=1e-8):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=atol)


@predictions
@schedules
@pytest.mark.parametrize("target", ["T-B", "T-C"])
def test_the_exact_prediction_gives_the_exact_velocity(target, schedule, prediction):
    law = TARGETS[target].law
    oracle = MixtureInterpolation(law, by_name(schedule))
    velocity = learned(prediction, schedule, ExactPrediction(law, schedule, prediction))
    for t in TIMES:
        x = oracle.sample(t, 20, generator(1), torch.float64)
        wanted, slopes = oracle.velocity_and_jacobian(t, x)
        close(velocity(t, x), wanted)
        v, found = velocity.velocity_and_jacobian(t, x)
        close(v, wanted)
        close(found, slopes)
        v, divergence = velocity.velocity_and_divergence(t, x)
        close(v, wanted)
        close(divergence, slopes.diagonal(dim1=1, dim2=2).sum(1))


@predictions
@schedules
def test_a_time_a_point_is_that_time_for_that_point(schedule, prediction):
    law = TARGETS["T-B"].law
    oracle = MixtureInterpolation(law, by_name(schedule))
    times = torch.tensor(TIMES, dtype=torch.float64)
    x = oracle.sample(times, len(times), generator(2), torch.float64)
    close(learned(prediction, schedule, ExactPrediction(law, schedule, prediction))(times, x), oracle(times, x))


@predictions
@schedules
def test_target_and_conversion_belong_together(schedule, prediction):
    """At x = a z + b x₁, a network that says the target of this very pair moves it at a'z + b'x₁."""
    curve, velocity = by_name(schedule), learned(prediction, schedule)
    t = torch.tensor(TIMES, dtype=torch.float64)
    z, x1 = normal(len(t), 2, seed=1), normal(len(t), 2, seed=2)
    a, b = curve.a(t)[:, None], curve.b(t)[:, None]
    c, x = velocity.conversion(t, x1), a * z + b * x1
    found = c.slope[:, None] * x + c.gain[:, None] * velocity.target(t, z, x1)
    close(found, curve.aa_prime(t)[:, None] / a * z + curve.b_prime(t)[:, None] * x1)


@predictions
@schedules
def test_the_velocity_is_made_of_the_prediction(schedule, prediction):
    velocity, x = learned(prediction, schedule), normal(5, 2)
    for t in (0.3, torch.linspace(0.1, 0.9, 5).double()):
        c = velocity.conversion(t, x)
        slope, gain, scale = (part.reshape(-1, 1) for part in c[:3])
        expected = velocity.net(c.clock, scale * x)
        close(velocity.predict(t, x), expected)
        close(velocity(t, x), slope * x + gain * expected)


@predictions
@schedules
def test_closed_forms_agree_with_autograd(schedule, prediction):
    for net in (None, randomised(TimeLattice(2, ((9, 0.2, 2), (8, 0.0, 1)), 3.0).double())):
        velocity, x = learned(prediction, schedule, net), normal(6, 2)
        expected = jacobian(lambda y, velocity=velocity: velocity(0.6, y), x)
        close(velocity.velocity_and_jacobian(0.6, x)[1], expected)
        close(velocity.velocity_and_divergence(0.6, x)[1], expected.diagonal(dim1=1, dim2=2).sum(1))


@schedules
def test_a_network_that_says_nothing_of_angles_is_the_flow_of_a_gaussian(schedule):
    velocity, x = learned("angle", schedule, Zero()), normal(9, 2)
    oracle = MixtureInterpolation(standard_normal(2), by_name(schedule))
    for t in TIMES:
        wanted, slopes = oracle.velocity_and_jacobian(t, x)
        close(velocity(t, x), wanted)
        close(velocity.velocity_and_jacobian(t, x)[1], slopes)
    curve = by_name(schedule)
    spread = [float((curve.a2(t) + curve.b(t) ** 2).sqrt()) for t in (0.05, 0.95)]
    close(transport(velocity, x, 0.95, 0.05), x * spread[0] / spread[1])


@predictions
def test_other_predictions_at_rest(prediction):
    """A network that says 0: no movement, data at 0, or no noise."""
    x = normal(4, 2)
    rate = {"velocity": 0.0, "denoiser": -1 / 0.7, "noise": 1 / 0.3, "angle": (0.3 - 0.7) / (0.3**2 + 0.7**2)}
    close(learned(prediction, "linear", Zero())(0.3, x), rate[prediction] * x)


def test_angles_give_one_map_under_every_schedule():
    """From the noise to the angle φ = atan 50, at points on the circle; and to the data where that is within reach."""
    net, x = randomised(MLP(2, (8, 8), "tanh", time=True).double(), 0.7), normal(12, 2)
    ratio = 50.0
    stops = {"linear": ratio / (1 + ratio), "foellmer": ratio / math.hypot(1, ratio)}
    stops["trigonometric"] = 2 / math.pi * math.atan(ratio)
    ends = []
    for name, stop in stops.items():
        y = transport(learned("angle", name, net), x, 0.0, stop)
        ends.append(y / math.hypot(float(by_name(name).a(stop)), float(by_name(name).b(stop))))
    assert (ends[0] - x).abs().max() > 0.3
    close(ends[1], ends[0], 1e-6)
    close(ends[2], ends[0], 1e-6)
    whole = [transport(learned("angle", name, net), x, 0.0, 1.0) for name in ("linear", "trigonometric")]
    close(whole[1], whole[0], 1e-6)


@predictions
@schedules
def test_both_ends_are_finite(schedule, prediction):
    velocity, x = learned(prediction, schedule), normal(5, 2)
    z = normal(5, 2, seed=3)
    for t in (0.0, 1.0):
        for part in (velocity(t, x), *velocity.velocity_and_jacobian(t, x)):
            assert part.isfinite().all()
        assert velocity.target(torch.full((5,), t), z, x).isfinite().all()


@predictions
def test_dtype_in_is_dtype_out(prediction):
    velocity, x = learned(prediction, "vp").float(), normal(5, 2, dtype=torch.float32)
    times = torch.linspace(0, 1, 5, dtype=torch.float64)
    found = [velocity(0.5, x), velocity(times, x), *velocity.velocity_and_jacobian(0.5, x)]
    found += [velocity.target(times, x, x), velocity.predict(times, x)]
    assert {part.dtype for part in found} == {torch.float32}
    close(velocity(0.5, x).double(), velocity.double()(0.5, x.double()), 1e-5)


@predictions
@schedules
@pytest.mark.parametrize("kind", [MLP, TimeLattice])
def test_saved_and_loaded_is_the_same_velocity(tmp_path, schedule, prediction, kind):
    net = MLP(2, (5,), time=True) if kind is MLP else TimeLattice(2, ((9, 0.5, 2), (8, 0.0, 1)), 3.0)
    velocity = learned(prediction, schedule, randomised(net))
    flow = Flow(ODEBijection(velocity, FixedGrid(2), "trace", t_data=0.9, t_latent=0.1)).eval()
    again = load_flow(save_flow(flow, tmp_path))
    found = again.bijection.velocity
    assert found.settings() == velocity.settings() == {"schedule": schedule, "prediction": prediction}
    assert type(found.net) is kind and found.net.settings() == net.settings()
    x = normal(6, 2, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(again.log_prob(x), flow.log_prob(x))


def test_a_network_without_a_closed_form_serves_too():
    velocity, x = learned("angle", "linear", randomised(Lattice(2, (9,), 3.0).double())), normal(4, 2)
    close(velocity.velocity_and_jacobian(0.4, x)[1], jacobian(lambda y: velocity(0.4, y), x))


def test_an_unknown_prediction_is_named():
    with pytest.raises(InputError, match=r"prediction 'score' is unknown, expected one of \['angle', 'denoiser', "):
        InterpolationVelocity(Zero(), by_name("linear"), "score")
