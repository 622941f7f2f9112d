import json
import math
from dataclasses import replace

import pytest
import torch

import pushforward as pf
from cases import exact_moments, generator, normal, split_of, student, walk
from pushforward import experiment, fit
from pushforward.errors import InputError
from pushforward.families import Family, Interpolation, pushing
from pushforward.families.interpolation import LATTICE_FIT, NETWORK_FIT
from pushforward.fit import FitConfig
from pushforward.flows import Affine, Flow
from pushforward.interpolation import PREDICTIONS, SCHEDULES, by_name
from pushforward.metrics import integral, kl_to_truth
from pushforward.nets import MLP, TimeLattice
from pushforward.numerics import Adaptive, FixedGrid

SMALL = {"kind": "mlp", "widths": (8,), "activation": "silu"}
PLANAR = {"kind": "time-lattice", "levels": ((24, 0.4, 4), (12, 0.0, 6)), "radius": 4.0}
X = exact_moments(400, torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 0.7]).double())
every = pytest.mark.parametrize("schedule", SCHEDULES)


pytestmark = pytest.mark.usefixtures("artifacts")


def still(stage):
    """Train nothing: the network says zero."""


def nudge(stage):
    """Some velocity that is not zero."""
    with torch.no_grad():
        for parameter in stage.module.parameters():
            parameter += 0.05


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cubic"}, "no schedule is called 'cubic', expected one of: linear"),
        ({"prediction": "score"}, r"prediction 'score' is unknown, expected one of \['angle'"),
        ({"coupling": "sinkhorn"}, "coupling 'sinkhorn' is unknown"),
        ({"coupling": "optimal-transport", "schedule": "vp"}, "changes the source law of schedule 'vp'"),
        ({"net": {"kind": "lattice"}}, "net is {'kind': 'lattice'}, expected .* one of .*mlp.*time-lattice"),
        ({"net": {}}, "net is {}"),
        ({"net": "mlp"}, "net is 'mlp', expected None or a dict"),
        ({"t_max": 0.0}, r"t_max is 0.0, expected a time in \(0, 1\]"),
        ({"t_max": 1.1}, "t_max is 1.1"),
        ({"steps": -1}, "steps=-1"),
        ({"tolerance": 0.0}, "tolerance=0.0: expected"),
        ({"pool": 0}, "pool is 0"),
        ({"emphasis": 0.0}, "emphasis is 0.0, expected a positive power"),
        ({"precondition": ("affine", "spline")}, r"precondition \['spline'\] is unknown"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Interpolation(**settings)


@pytest.mark.parametrize(
    ("net", "dim", "message"),
    [
        ({"kind": "mlp", "width": 6}, 2, "'width': 6.* has a setting that 'mlp' does not know"),
        ({"kind": "mlp", "activation": "relu"}, 2, "activation 'relu' is unknown"),
        (PLANAR, 3, "dim is 3, but a lattice velocity is planar"),
    ],
)
def test_settings_that_only_a_network_can_judge(net, dim, message):
    with pytest.raises(InputError, match=message):
        Interpolation(net=net).ode(dim)


def test_a_stop_before_the_start_is_named():
    with pytest.raises(InputError, match="t_min=0.001, t_max=0.0005: expected"):
        walk(Interpolation("linear", "noise", SMALL, t_max=0.0005), split_of(X), still)


def test_defaults_suit_the_dimension_and_the_prediction():
    assert isinstance(Interpolation(), Family)
    assert isinstance(Interpolation().ode(2).velocity.net, TimeLattice)
    for settings, dim in (({}, 3), ({"prediction": "velocity"}, 2)):
        net = Interpolation(**settings).ode(dim).velocity.net
        assert isinstance(net, MLP) and net.time
    ode = Interpolation().ode(2)
    assert (ode.velocity.schedule.name, ode.velocity.prediction) == ("trigonometric", "angle")
    assert ode.solver == Adaptive(1e-5, 1e-5) and ode.log_det == "trace"
    assert Interpolation(steps=7).ode(2).solver == FixedGrid(7, "rk4")


def test_every_network_sees_the_time():
    ode = Interpolation(net=SMALL).ode(4)
    assert ode.velocity.net.settings() == {"dim": 4, "widths": [8], "activation": "silu", "time": True}
    assert Interpolation(net={**SMALL, "time": False}).ode(4).velocity.net.time


@pytest.mark.parametrize(
    ("schedule", "prediction", "expected"),
    [
        ("linear", "velocity", (0.0, 1.0)),
        ("linear", "angle", (0.0, 1.0)),
        ("foellmer", "angle", (0.0, 1.0)),
        ("trigonometric", "denoiser", (0.0, 0.999)),
        ("linear", "noise", (0.001, 0.999)),
        ("vp", "noise", (0.0, 0.999)),
        ("foellmer", "velocity", (0.0, 0.999)),
        ("ve-linear", "velocity", (0.0, 1.0)),
    ],
)
def test_times_keep_away_from_the_ends_that_a_prediction_divides_by(schedule, prediction, expected):
    family = Interpolation(schedule, prediction, SMALL)
    assert family.times() == expected
    ode = family.ode(2)
    assert (ode.t_latent, ode.t_data) == expected
    assert replace(family, t_max=0.9).times() == (expected[0], 0.9)
    stages = []
    walk(replace(family, steps=2), split_of(X), stages.append)
    assert (stages[0].objective.t_min, stages[0].objective.t_max) == expected


# --- what is built ----------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_under_every_schedule_is_a_flow(schedule, prediction):
    # An adaptive solver: near noise the noise prediction divides by b, which no three steps resolve.
    family = Interpolation(schedule, prediction, SMALL, precondition=("affine", "radial"), tolerance=1e-3)
    x = student(300, 3)
    flow, history = walk(family, split_of(x), nudge)
    with torch.no_grad():
        values = flow.log_prob(x)
    assert values.isfinite().all() and values.dtype == torch.float64
    assert flow.sample(5, generator()).isfinite().all()
    assert [row["stage"] for row in history.stages] == ["start", "velocity"]
    assert history.stages[1]["val_nll"] == pytest.approx(-float(values.mean()), abs=1e-9)


@every
@pytest.mark.parametrize("t_max", [None, 0.9])
def test_an_untrained_flow_of_angles_is_the_gaussian_of_the_data(schedule, t_max):
    """Its noise at the time of the data left over: N(m, C (a² + b²)), which is the best Gaussian where a² + b² = 1.

    The source law of VE and VP is whitened by its variance a₀² + b₀², that of VE being 26.
    """
    family = Interpolation(schedule, net=SMALL, t_max=t_max, tolerance=1e-9)
    flow, _ = walk(family, split_of(X), still)
    last = family.times()[1]
    spread = float(by_name(schedule).a2(last) + by_name(schedule).b(last) ** 2)
    covariance = spread * torch.diag(torch.tensor([4.0, 0.49], dtype=torch.float64))
    expected = torch.distributions.MultivariateNormal(torch.tensor([1.0, -1.0]).double(), covariance)
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(X), expected.log_prob(X), rtol=0, atol=1e-6)
    latent_blocks = [type(block) for block in flow.bijection.blocks[2:]]
    assert latent_blocks == ([Affine] if by_name(schedule).b0 > 0 else [])


@pytest.mark.parametrize("schedule", ["vp", "ve"])
def test_the_source_law_is_whitened_by_its_own_moments(schedule):
    """Also where the data are not white: mean b₀ m, covariance a₀² I + b₀² C."""
    x = student(500, 2)
    flow, _ = walk(Interpolation(schedule, net=SMALL, precondition=(), steps=1), split_of(x), still)
    curve, affine = by_name(schedule), flow.bijection.blocks[1]
    torch.testing.assert_close(affine.mean, curve.b0 * x.mean(0))
    covariance = curve.a0**2 * torch.eye(2, dtype=torch.float64) + curve.b0**2 * torch.cov(x.T, correction=0)
    white = affine.matrix @ covariance @ affine.matrix.T
    torch.testing.assert_close(white, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-12)
    assert affine.matrix.dtype == x.dtype


def test_training_sees_the_preconditioned_points_of_the_pool():
    stages = []
    held_out = normal(300, 2, seed=8)
    family = Interpolation(net=SMALL, pool=70, coupling="optimal-transport", antithetic=False, emphasis=2.0)
    _, history = walk(family, split_of(X, held_out), stages.append)
    (stage,) = stages
    torch.testing.assert_close(stage.points, Affine.fit(X)(X)[:70])
    asked = stage.objective
    assert (asked.coupling, asked.antithetic, asked.emphasis) == ("optimal-transport", False, 2.0)
    assert stage.objective.velocity is stage.module.velocity
    start = history.stages[0]
    assert start["val_nll"] == pytest.approx(-float(Flow(Affine.fit(X)).log_prob(held_out).mean()), abs=1e-12)


def test_the_optimiser_suits_the_network():
    own = FitConfig(iterations=5)
    for net, settings, expected in [(PLANAR, {}, LATTICE_FIT), (SMALL, {}, NETWORK_FIT), (SMALL, {"fit": own}, own)]:
        stages = []
        walk(Interpolation(net=net, steps=1, **settings), split_of(X), stages.append)
        assert stages[0].config == expected


def test_a_stage_validates_as_the_flow_is_judged():
    found = []

    def look(stage):
        nudge(stage)
        found.append(stage.validate())

    held_out = normal(300, 2, seed=3)
    flow, history = walk(Interpolation("ve", net=SMALL, steps=4), split_of(X, held_out), look)
    assert found[0] == history.stages[1]["val_nll"]
    assert found[0] == pytest.approx(-flow.log_prob(held_out).mean().item(), abs=1e-9)


def test_only_the_first_held_out_points_are_asked(monkeypatch):
    monkeypatch.setattr(Interpolation, "held_out", 50)
    held_out = normal(300, 2, seed=3)
    flow, history = walk(Interpolation(net=SMALL, steps=4), split_of(X, held_out), nudge)
    assert history.stages[1]["val_nll"] == pytest.approx(-flow.log_prob(held_out[:50]).mean().item(), abs=1e-9)


def test_initial_weights_depend_on_the_seed_alone():
    def first(seed):
        stages = []
        walk(Interpolation(net=SMALL, steps=1), split_of(X), stages.append, seed)
        return stages[0].module.velocity.net.layers[0].weight

    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one = first(0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(first(0), one)
    assert not torch.equal(first(1), one)


# --- what is learned --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("schedule", "prediction"), [("linear", "velocity"), ("trigonometric", "angle")])
def test_a_gaussian_is_learned_to_its_closed_form(schedule, prediction):
    """Without whitening: N((0.8, −0.5), diag(1.5², 0.5²)), whose flow map is affine."""
    mean, sd = torch.tensor([0.8, -0.5]), torch.tensor([1.5, 0.5])
    config = FitConfig(iterations=500, batch=512, lr=1e-2, ema=0.98)
    net = {"kind": "mlp", "widths": (24,), "activation": "silu"}
    family = Interpolation(schedule, prediction, net, precondition=(), steps=16, emphasis=1.0, fit=config)
    data = exact_moments(4000, mean.double(), sd.double()).float()
    flow, history = pf.train(family, split_of(data, data[:1000]), device="cpu")
    z = normal(500, 2, dtype=torch.float32)
    with torch.no_grad():
        x = flow.bijection.inverse(z)
        truth = torch.distributions.MultivariateNormal(mean, torch.diag(sd**2))
        gap = (truth.log_prob(x) - flow.log_prob(x)).mean()
    assert float((x - (mean + sd * z)).square().sum(1).mean().sqrt()) < 0.08
    torch.testing.assert_close(x.std(0), sd * z.std(0), rtol=0.08, atol=0)
    assert abs(float(gap)) < 0.02
    assert history.stages[1]["val_nll"] < history.stages[0]["val_nll"] - 0.3


MIXTURE = pf.distributions.GaussianMixture(
    [0.5, 0.3, 0.2], [[-1.5, 0.0], [1.0, 1.2], [1.2, -1.0]], scales=[0.5, 0.4, 0.6]
)


def test_a_mixture_is_learned_and_its_density_integrates_to_one():
    draws = MIXTURE.sample(20_000, generator(), torch.float32)
    config = FitConfig(iterations=200, batch=800, lr=0.02, betas=(0.9, 0.99))
    family = Interpolation(net=PLANAR, steps=16, emphasis=1.0, fit=config)
    flow, history = pf.train(family, split_of(draws, draws[:1000]), device="cpu")
    fresh = MIXTURE.sample(4000, generator(1), torch.float32)
    learned, gaussian = kl_to_truth(MIXTURE, flow, fresh), kl_to_truth(MIXTURE, Flow(Affine.fit(draws)), fresh)
    assert learned.value < 0.04
    assert gaussian.value > 0.3
    box = ((-6.0, 6.0), (-6.0, 6.0))
    assert integral(flow, box, resolution=64) == pytest.approx(1, abs=1e-3)
    assert history.stages[1]["val_nll"] < history.stages[0]["val_nll"]
    assert history.stages[1]["evaluations"] == 2 * config.iterations  # antithetic


@pytest.mark.parametrize("antithetic", [False, True])
def test_an_antithetic_minibatch_is_two_passes(antithetic):
    family = Interpolation(net=SMALL, steps=4, antithetic=antithetic, fit=FitConfig(iterations=3, batch=10))
    _, history = pf.train(family, split_of(X), device="cpu")
    assert history.evaluations == 3 * (1 + antithetic)


# --- once, and gone on ------------------------------------------------------------------------------------------------

BRIEF = FitConfig(iterations=30, batch=20, ema=0.9, log_every=10, validate_every=15)
FAMILY = Interpolation(net=SMALL, steps=3, fit=BRIEF)
EAGER = replace(FAMILY, fit=replace(BRIEF, checkpoint_seconds=0))  # a checkpoint every iteration


def once(family=FAMILY, name="case", **settings):
    return pf.train_once(name, family, X, device="cpu", **settings)


def assert_same_to_the_bit(a, b):
    first, second = a.flow.state_dict(), b.flow.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert [row["val_nll"] for row in a.history.stages] == [row["val_nll"] for row in b.history.stages]


@pytest.mark.parametrize("schedule", ["trigonometric", "ve"])
def test_a_result_is_found_again_without_training(schedule, monkeypatch):
    first = once(replace(FAMILY, schedule=schedule))
    monkeypatch.setattr(experiment, "fit", None)  # called, it would be an error
    again = once(replace(FAMILY, schedule=schedule))
    assert_same_to_the_bit(first, again)
    with torch.no_grad():
        assert torch.equal(first.flow.log_prob(X), again.flow.log_prob(X))
    assert torch.equal(first.flow.sample(9, generator()), again.flow.sample(9, generator()))
    record = json.loads((first.folder / "result.json").read_text())
    assert record["settings"]["family"] == "interpolation"
    assert record["settings"]["algorithm_version"] == Interpolation.algorithm_version
    assert record["settings"]["schedule"] == schedule
    validated = [row["validation"] for row in first.history.fits["velocity"].rows if "validation" in row]
    assert len(validated) == 2 and validated[-1] == pytest.approx(first.history.stages[1]["val_nll"])


def test_a_schedule_under_an_old_name_is_another_question(monkeypatch):
    """The settings hold its name alone; its functions must be in the key too."""
    before = experiment._key(replace(FAMILY, schedule="linear"), split_of(X), 0)
    monkeypatch.setitem(SCHEDULES, "linear", replace(SCHEDULES["trigonometric"], name="linear"))
    assert experiment._key(replace(FAMILY, schedule="linear"), split_of(X), 0) != before


def test_every_setting_and_the_version_are_in_the_key(monkeypatch):
    def key(**changes):
        return experiment._key(replace(FAMILY, **changes), split_of(X), 0)

    changes = [
        {"schedule": "linear"},
        {"prediction": "velocity"},
        {"net": {**SMALL, "widths": (9,)}},
        {"coupling": "optimal-transport"},
        {"antithetic": False},
        {"emphasis": 2.0},
        {"precondition": ()},
        {"t_max": 0.9},
        {"steps": 4},
        {"tolerance": 1e-6},
        {"pool": 99},
        {"fit": replace(BRIEF, lr=2e-3)},
    ]
    keys = [key(), *(key(**change) for change in changes)]
    assert len(set(keys)) == len(keys) and key() == keys[0]
    monkeypatch.setattr(Interpolation, "algorithm_version", Interpolation.algorithm_version + 1)
    assert key() not in keys


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", [1, 17])
def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(artifacts, monkeypatch, last):
    plain = once(EAGER, "plain")
    save, written = fit.save_tensors, []

    def save_and_die(path, tensors, note):
        save(path, tensors, note)
        written.append(path.name)
        if len(written) == last:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_tensors", save_and_die)
        with pytest.raises(Killed):
            once(EAGER, "killed")
    (folder,) = artifacts.glob("killed-*")
    assert [path.name for path in (folder / "training").iterdir()] == ["velocity.partial.safetensors"]
    steps, step = [], fit._step
    monkeypatch.setattr(fit, "_step", lambda *arguments: steps.append(1) or step(*arguments))
    assert_same_to_the_bit(plain, once(EAGER, "killed"))
    assert len(steps) == BRIEF.iterations - last


def test_another_seed_is_another_flow():
    assert not torch.equal(once().flow.sample(5, generator()), once(seed=1).flow.sample(5, generator()))


def test_points_are_pushed_in_pieces(monkeypatch):
    whole = walk(Interpolation(net=SMALL, steps=2), split_of(X), nudge)[1]
    monkeypatch.setattr(pushing, "PIECE", 37)
    pieces = walk(Interpolation(net=SMALL, steps=2), split_of(X), nudge)[1]
    assert pieces.stages[1]["val_nll"] == pytest.approx(whole.stages[1]["val_nll"], abs=1e-12)
    assert math.isfinite(pieces.stages[1]["val_nll"])
