import pytest
import torch

import pushforward as pf
from cases import exact_moments, generator, normal, split_of, student, walk
from killed import killed_and_whole
from pushforward import experiment
from pushforward.errors import InputError
from pushforward.families import Family, Interpolation, ScoreSDE
from pushforward.fit import FitConfig
from pushforward.metrics import integral
from pushforward.objectives import EvidenceObjective, MatchingObjective

SMALL = {"kind": "mlp", "widths": (8,), "activation": "silu"}
X = exact_moments(400, torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 0.7]).double())


pytestmark = pytest.mark.usefixtures("artifacts")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "linear"}, "schedule 'linear' has a² \\+ b² ≠ 1"),
        ({"schedule": "vp-cubic-5"}, "no schedule is called 'vp-cubic-5', expected one of: linear, .*vp-quadratic-5"),
        ({"coupling": "optimal-transport", "schedule": "foellmer"}, "coupling='optimal-transport', emphasis=None"),
        ({"emphasis": 2.0}, "emphasis=2.0: expected 'independent' and None"),
        ({"t_max": 1.0}, "t_max=1.0: expected 0 <= t_min < t_max < 1"),
        ({"prediction": "score"}, "prediction 'score' is unknown"),
        ({"pool": 0}, "pool is 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        ScoreSDE(**settings)


def test_it_is_the_interpolation_flow_with_another_loss():
    family = ScoreSDE(net=SMALL, steps=3)
    assert isinstance(family, Family) and family.name == "score-sde"
    seen = []
    _, history = walk(family, split_of(student(200, 3)), seen.append)
    (stage,) = seen
    loss = stage.objective
    assert isinstance(loss, EvidenceObjective) and loss.velocity is stage.module.velocity
    assert (loss.velocity.schedule.name, loss.velocity.prediction) == ("vp-linear-20", "noise")
    assert (loss.t_min, loss.t_max, loss.antithetic) == (0.0, 0.999, True)
    assert isinstance(Interpolation(net=SMALL).objective(Interpolation(net=SMALL).ode(2)), MatchingObjective)
    assert {"minibatches", "evaluations", "seconds", "val_nll"} <= set(history.stages[1])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"prediction": "angle"}, (0.0, 0.999)),
        ({"schedule": "foellmer", "prediction": "angle"}, (0.001, 0.999)),
        ({"schedule": "vp-quadratic-5", "t_max": 0.99}, (0.0, 0.99)),
    ],
)
def test_the_range_keeps_away_from_both_ends(settings, expected):
    family = ScoreSDE(net=SMALL, **settings)
    assert family.times() == expected
    ode = family.ode(2)
    assert (ode.t_latent, ode.t_data) == expected


def test_keys_of_interpolation_flows_are_what_they_were():
    """Recorded before the loss became a method that a subclass may replace."""
    split = pf.Split.from_points(torch.arange(24, dtype=torch.float64).reshape(12, 2), 0)
    keys = [experiment._key(f, split, 0) for f in (Interpolation(), Interpolation("vp", "noise", steps=4))]
    assert keys == ["9adcb4eab9cb", "82d354d5bfac"]
    assert experiment._key(ScoreSDE("vp", steps=4), split, 0) not in keys


def test_the_exact_noise_of_white_data_stands_still():
    """ẑ = a y, the score −y: the velocity of the probability-flow ODE, −½ β (y + s), is zero."""
    velocity, y = ScoreSDE("vp-quadratic-5", net=SMALL).ode(2).velocity, normal(50, 2, seed=4)
    for t in (0.05, 0.5, 0.95):
        c = velocity.conversion(t, y)
        torch.testing.assert_close(c.slope * y + c.gain * velocity.schedule.a(t) * y, 0 * y, rtol=0, atol=1e-12)


def test_two_clusters_are_learned_and_the_bound_holds():
    law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)),
        torch.distributions.MultivariateNormal(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0.09 * torch.eye(2)),
    )
    torch.manual_seed(0)
    x = law.sample((3000,))
    config = FitConfig(iterations=500, batch=512, lr=1e-2, ema=0.98, log_every=10)
    family = ScoreSDE("vp-quadratic-5", net={**SMALL, "widths": (32, 32)}, fit=config, tolerance=1e-3)
    flow, history = pf.train(family, split_of(x, x[:500]), device="cpu")
    truth = -float(law.log_prob(x[:500]).mean())
    start, end = (row["val_nll"] for row in history.stages)
    assert truth < end < truth + 0.1 < start - 0.4
    assert integral(flow, ((-5.0, 5.0), (-5.0, 5.0)), 60) == pytest.approx(1, abs=1e-3)
    whitening, ode, _ = flow.bijection.blocks
    with torch.no_grad():
        z, log_det = whitening.forward_and_log_det(x)
        losses = [float(family.objective(ode)(z, generator(seed)).total) for seed in range(20)]
    bound = sum(losses) / len(losses) - float(log_det.mean())  # of −log p in the units of x
    assert end < bound < end + 0.25


def test_a_killed_training_ends_with_the_same_numbers(tmp_path):
    config = FitConfig(iterations=12, batch=50, ema=0.9, checkpoint_seconds=0)
    family = ScoreSDE(net=SMALL, steps=2, fit=config)
    (killed, _), (whole, _) = killed_and_whole(family, split_of(X), tmp_path / "state.safetensors")
    with torch.no_grad():
        assert torch.equal(killed.bijection(X), whole.bijection(X))
