"""The claims hold on the closed forms, and each measurement fails on a wrong sign, a swapped argument, a wrong law."""

from dataclasses import dataclass

import pytest
import torch

from pushforward.catalogue import theorems
from pushforward.catalogue.theorems import CLAIMS, Grid, flow_maps, loops, loss
from pushforward.catalogue.theorems.gradients import inequalities
from pushforward.interpolation import TARGETS, MixtureInterpolation, Target, bounds, by_name, lipschitz, stability

SMALL = Grid(times=6, side=9, points=6, errors=21, etas=(0.1,), starts=3, rtols=(1e-6,))


def measured(claim, schedule="linear", target="T-A1"):
    target = TARGETS[target] if isinstance(target, str) else target
    return {part.statement: part for part in CLAIMS[claim].measure(by_name(schedule), target, SMALL)}


def failing(parts):
    return {statement for statement, part in parts.items() if not part.slack >= part.least}


@dataclass(frozen=True)
class WrongTarget(Target):
    """A law whose interpolation answers wrongly in one method."""

    oracle: type = MixtureInterpolation

    def make(self, schedule):
        return self.oracle(self.law, schedule)


class WrongSign(MixtureInterpolation):
    """−v and everything that follows from it."""

    def __call__(self, t, x):
        return -super().__call__(t, x)

    def velocity_and_jacobian(self, t, x):
        return tuple(-part for part in super().velocity_and_jacobian(t, x))

    def velocity_and_divergence(self, t, x):
        return tuple(-part for part in super().velocity_and_divergence(t, x))


class WrongScore(MixtureInterpolation):
    def score(self, t, x):
        return super().score(t, x) * 1.001


class WrongMean(MixtureInterpolation):
    def posterior_mean(self, t, x):
        return super().posterior_mean(t, x) + 1e-6


class WrongCovariance(MixtureInterpolation):
    def posterior_covariance(self, t, x):
        return super().posterior_covariance(t, x) * (1 + 1e-6)


class Steeper(MixtureInterpolation):
    """A gradient one part in a thousand too large."""

    def velocity_and_jacobian(self, t, x):
        v, gradient = super().velocity_and_jacobian(t, x)
        return v, gradient * 1.001


class Divergent(MixtureInterpolation):
    def velocity_and_divergence(self, t, x):
        v, divergence = super().velocity_and_divergence(t, x)
        return v, divergence + 1e-3


def wrong(oracle, name="T-A1"):
    target = TARGETS[name]
    constants = {key: getattr(target, key) for key in ("kappa", "beta", "sigma", "radius")}
    return WrongTarget(name, target.law, oracle=oracle, **constants)


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("schedule", ["linear", "vp"])
def test_every_claim_holds_on_the_line(claim, schedule):
    parts = measured(claim, schedule)
    assert parts and not failing(parts)


@pytest.mark.parametrize("claim", ["a1", "a3", "a4", "a5", "a6", "a9", "a10"])
def test_every_claim_holds_in_the_plane(claim):
    parts = measured(claim, "foellmer", "T-B")
    assert parts and not failing(parts)


@pytest.mark.parametrize("claim", ["a1", "a2", "a3", "a4", "a5"])
def test_every_claim_holds_on_an_interval(claim):
    parts = measured(claim, "trigonometric", "T-E")
    assert parts and not failing(parts)


@pytest.mark.parametrize("claim", ["a1", "a2", "a3", "a4", "a5", "a6", "a9", "a10"])
@pytest.mark.parametrize("schedule", ["linear", "vp"])
def test_a_velocity_of_the_wrong_sign_fails(claim, schedule):
    assert failing(measured(claim, schedule, wrong(WrongSign)))


@pytest.mark.parametrize(
    ("claim", "oracle", "statements"),
    [
        ("a1", WrongScore, {"v = (b'/b) x + (w/b) ∇log p_t", "∇log p_t = (b E[X_1|x] − x)/a²", "v at the end points"}),
        ("a1", WrongMean, {"v = (a'/a) x + (b' − (a'/a) b) E[X_1|x]", "∇log p_t = (b E[X_1|x] − x)/a²"}),
        ("a2", WrongScore, {"∂_t log p_t + v·∇log p_t + tr ∇v = 0"}),
        ("a3", WrongCovariance, {"∇²log p_t = (b²/a⁴) Cov(X_1|x) − I/a²", "∇v = (a'/a) I + (b w/a⁴) Cov(X_1|x)"}),
        ("a3", Steeper, {"∇v = (a'/a) I + (b w/a⁴) Cov(X_1|x)", "∇v in closed form and by differentiation"}),
        ("a9", Divergent, {"log p_1(x) = log p_0(X_0) − ∫ tr ∇v dt, rtol 1e-10"}),
        ("a10", WrongCovariance, {"F(t) = E|a'Z + b'X_1|² − E|v|²", "loss(v) = F", "loss(ṽ) − F = E|ṽ − v|²"}),
    ],
)
def test_a_wrong_quantity_fails_where_it_enters_and_there_alone(claim, oracle, statements):
    assert failing(measured(claim, "foellmer", wrong(oracle))) == statements


def test_a_bound_that_is_attained_has_no_slack_for_a_steeper_velocity():
    parts = measured("a4", "linear", wrong(Steeper))
    assert failing(parts) >= {"(b) semi-log-convex", "(d) mixture", "(d) at x = 0 between two equal means"}
    assert parts["(b) semi-log-convex"].slack == pytest.approx(-1.25e-3, abs=5e-5)  # 0.1 % of the bound at t = 0.4
    assert parts["(d) mixture"].slack == pytest.approx(-4e-3, abs=1e-3)  # 0.1 % of the bound's peak, 4.24
    assert "Lip(X_1): (d) mixture" in failing(measured("a5", "linear", wrong(Steeper)))


SWAPPED = [
    ("a4", bounds, "mixture", lambda f: lambda s, t, sigma, radius: f(s, t, radius, sigma), "(d) mixture"),
    ("a4", bounds, "mixture", lambda f: lambda s, t, sigma, radius: f(s, t, sigma, radius)[::-1], "(d) mixture"),
    ("a4", bounds, "semi_log_convex", lambda f: lambda s, t, beta: f(s, t, 1 / beta), "(b) semi-log-convex"),
    ("a5", lipschitz, "mixture", lambda f: lambda s, sigma, radius: f(s, radius, sigma), "Lip(X_1): (d) mixture"),
    ("a5", lipschitz, "reverse_mixture", lambda f: lambda s, g: 1 / f(s, g), "Lip of the inverse: (d) mixture"),
    ("a8", stability, "refined", lambda f: lambda t, e, rate: f(t, e, -rate), "W2 ≤ refined bound, u = 1"),
    ("a8", stability, "refined", lambda f: lambda t, e, rate: f(t, e**2, rate), "W2 ≤ refined bound, u = 1"),
    ("a8", stability, "crude", lambda f: lambda t, e, c: f(t, e, -c), "W2 ≤ crude bound, u = 1"),
]


@pytest.mark.parametrize(("claim", "module", "name", "mutate", "statement"), SWAPPED)
def test_a_bound_with_a_wrong_argument_fails(monkeypatch, claim, module, name, mutate, statement):
    monkeypatch.setattr(module, name, mutate(getattr(module, name)))
    clear()
    try:
        part = measured(claim)[statement]
    finally:
        clear()
    assert part.slack < part.least


def clear():
    """What other tests have measured: bounds are part of what is remembered."""
    theorems.stability.deviations.cache_clear()
    flow_maps.singular_values.cache_clear()


def test_source_stability_is_measured_where_the_source_is_wrong():
    assert not [s for s in measured("a8", "linear") if s.startswith("source")]
    assert len([s for s in measured("a8", "ve") if s.startswith("source")]) == 2


def test_a_loop_that_comes_back_by_another_way_stays_open():
    first, second = (TARGETS[name].make(by_name("linear")) for name in ("T-A1", "T-H"))
    x = loops.draws(first, 1.0, 6)
    assert loops.loop_error(loops.cycle(first, second), x, 1e-6) < 20e-6
    legs = loops.cycle(first, second)
    assert loops.loop_error([legs[0], legs[1], legs[3]], x, 1e-6) > 1e-2
    assert loops.loop_error([legs[0], (first, 1.0, 0.0)], x, 1e-6) > 1e-2


def test_a_schedule_entered_at_the_wrong_time_gives_another_map():
    ve, target = by_name("ve"), TARGETS["T-A1"]
    x = loops.draws(target.make(ve), 0.0, 6)
    right = flow_maps.by_another_schedule(ve, target, x)
    from_zero = flow_maps.transport(target.make(by_name("linear")), x / ve.a0, 0.0, 1.0)
    assert (right - from_zero).abs().max() > 1e-2


def test_the_loss_knows_nothing_of_the_closed_forms():
    oracle, target = TARGETS["T-A1"].make(by_name("linear")), TARGETS["T-A1"]
    still = loss.loss(oracle, target, 0.5, lambda t, x: torch.zeros_like(x))
    assert still == pytest.approx(1 + 1.25, abs=1e-12)  # E|Z|² + E|X_1|²


def test_kappa_is_not_used_where_it_says_nothing():
    names = {each.name for each in flow_maps.forward_constants(by_name("linear"), TARGETS["T-A"])}
    assert names == {"Lip(X_1): (d) mixture"}
    early = torch.tensor([0.5, 0.7, 0.78, 1.0], dtype=torch.float64)
    concave = next(i for i in inequalities(by_name("linear"), TARGETS["T-A"]) if i.name.startswith("(c)"))
    assert concave.valid(early).tolist() == [False, False, True, True]  # t_0 = 0.776


@pytest.mark.parametrize(
    ("claim", "target", "statement", "source"),
    [
        ("a1", "T-A1", "v at the end points", "derived here"),
        ("a2", "T-A1", "X_1 maps quantiles of p_0 to quantiles of ν", "derived here"),
        ("a4", "T-D", "(e) log-Lipschitz", "derived here"),
        ("a4", "T-U", "(a) with D² halved", "derived here"),
        ("a4", "T-U", "case (ii): (a), then (c)", "derived here"),
        ("a4", "T-A1", "(b) semi-log-convex", "the paper"),
        ("a4", "T-A1", "(d) mixture", "the paper, as recalled"),
        ("a5", "T-A1", "Lip of the inverse: (b) semi-log-convex", "the paper, as recalled"),
        ("a9", "T-A1", "log p_1(x) = log p_0(X_0) − ∫ tr ∇v dt, rtol 1e-10", "well known"),
        ("a6", "T-A1", "X_1 depends on the schedule through b_0/a_0 alone", "derived here"),
        ("a8", "T-A1", "W2 ≤ crude bound, u = 1", "the paper"),
        ("a8", "T-A1", "W2 ≤ refined bound, u = 1", "derived here"),
    ],
)
def test_whose_statement_it_is(claim, target, statement, source):
    assert measured(claim, "linear", target)[statement].source == source
