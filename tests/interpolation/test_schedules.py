"""Schedules: derivatives, end points, and what ``register`` refuses."""

import dataclasses
import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, Schedule, by_name, register, schedules, ve, ve_linear, vp

NAMES = list(SCHEDULES)
EXTRA = [vp(1.5), ve(2.0), ve_linear(0.5)]


def inner():
    return torch.linspace(0.001, 0.999, 101, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), *EXTRA], ids=lambda s: s.name)
def test_rates_are_derivatives(schedule):
    for value, rate in ((schedule.a2, schedule.aa_prime), (schedule.b, schedule.b_prime)):
        t = inner()
        (slope,) = torch.autograd.grad(value(t).sum() + 0 * t.sum(), t)
        wanted = 2 * rate(t) if value is schedule.a2 else rate(t)
        assert torch.allclose(slope, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        ("linear", lambda t: 1 - t, lambda t: t),
        ("foellmer", lambda t: (1 - t * t) ** 0.5, lambda t: t),
        ("trigonometric", lambda t: math.cos(math.pi * t / 2), lambda t: math.sin(math.pi * t / 2)),
        ("vp", lambda t: (1 - math.exp(-6 * (1 - t))) ** 0.5, lambda t: math.exp(-3 * (1 - t))),
        ("ve", lambda t: 5 * (1 - t) ** 0.5, lambda t: 1.0),
        ("ve-linear", lambda t: 5 * (1 - t), lambda t: 1.0),
    ],
)
def test_values(name, a, b):
    schedule = by_name(name)
    for t in (0.0, 0.3, 0.5, 0.9):
        assert float(schedule.a(t)) == pytest.approx(a(t), abs=1e-14)
        assert float(schedule.b(t)) == pytest.approx(b(t), abs=1e-14)
    assert (schedule.a0, schedule.b0) == pytest.approx((a(0.0), b(0.0)), abs=1e-14)


@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), *EXTRA], ids=lambda s: s.name)
def test_ends_are_exact(schedule):
    assert float(schedule.a2(1.0)) == 0
    assert float(schedule.b(1.0)) == 1
    noise_alone = schedule.name in ("linear", "foellmer", "trigonometric")
    assert (schedule.b0 == 0) == noise_alone
    for t in (0.0, 1.0):
        assert all(torch.isfinite(value) for value in schedule.at(t))


@pytest.mark.parametrize("name", NAMES)
def test_weight_is_of_the_definition(name):
    schedule, t = by_name(name), inner().detach()
    a, rate = schedule.a(t), schedule.aa_prime(t) / schedule.a(t)
    w = schedule.w(t)
    assert torch.allclose(w, a * (a * schedule.b_prime(t) - rate * schedule.b(t)), rtol=1e-12)
    assert (w >= 0).all()


def test_weight_of_the_linear_schedule():
    t = inner().detach()
    assert torch.allclose(by_name("linear").w(t), 1 - t, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_tensors(name):
    schedule = by_name(name)
    t = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    for curve in (schedule.a2, schedule.aa_prime, schedule.b, schedule.b_prime, schedule.a, schedule.w):
        assert (curve(0.5).dtype, curve(0.5).shape) == (torch.float64, ())
        assert (curve(1).dtype, float(curve(1))) == (torch.float64, float(curve(1.0)))
        assert curve(torch.tensor(0)).dtype == torch.float64
        assert (curve(t).dtype, curve(t).shape) == (torch.float32, t.shape)
        assert torch.allclose(curve(t.double())[1, 0], curve(0.5), rtol=1e-15)


def test_cut_where_the_rate_is_not_square_integrable():
    """∫ a'² over [0, 1 − e] grows by a fixed amount per decade of e exactly where t_max is below 1."""
    for schedule in SCHEDULES.values():
        s = torch.linspace(-12, -4, 401, dtype=torch.float64)  # t = 1 − eˢ, dt = eˢ ds
        t = 1 - s.exp()
        decade = torch.trapezoid(schedule.aa_prime(t) ** 2 / schedule.a2(t) * s.exp(), s)
        assert (schedule.t_max < 1) == (float(decade) > 1)
        assert schedule.t_max in (1.0, 0.999)


@pytest.mark.parametrize("t", [-0.1, 1.5, math.nan])
def test_numbers_outside_are_refused(t):
    with pytest.raises(InputError, match="expected a time in"):
        by_name("linear").at(t)


def test_solvers_may_overshoot():
    values = by_name("foellmer").at(torch.tensor([-0.01, 1.01]))
    assert all(torch.isfinite(value).all() and value.dtype == torch.float64 for value in values)


def test_unknown_name():
    with pytest.raises(InputError, match="no schedule is called 'cosine', expected one of: linear, foellmer"):
        by_name("cosine")


@pytest.mark.parametrize("make", [vp, ve, ve_linear])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_factories_refuse(make, value):
    with pytest.raises(InputError, match="expected a positive number"):
        make(value)


def test_names_of_variants():
    assert [s.name for s in EXTRA] == ["vp-1-5", "ve-2", "ve-linear-0-5"]
    assert NAMES == ["linear", "foellmer", "trigonometric", "vp", "ve", "ve-linear"]


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(schedules, "SCHEDULES", dict(SCHEDULES))
    return schedules.SCHEDULES


GOOD = Schedule("quadratic", lambda t: (1 - t**2) ** 2, lambda t: -2 * t * (1 - t**2), lambda t: t**2, lambda t: 2 * t)


def test_register_makes_it_known(registry):
    assert register(GOOD) is GOOD
    assert by_name("quadratic") is GOOD
    with pytest.raises(InputError, match="a schedule called 'quadratic' exists"):
        register(GOOD)


@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), *EXTRA], ids=lambda s: s.name)
def test_the_known_ones_would_pass(registry, schedule):
    registry.clear()
    assert register(schedule) is schedule


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a2": lambda t: 1.1 - t**2}, "a2 of 'bad' is 0.1 at t = 1, expected 0"),
        ({"b": lambda t: 0.9 * t}, "b of 'bad' is 0.9 at t = 1, expected 1"),
        ({"a2": lambda t: (1 - t) * (t - 0.5)}, "a2 of 'bad' is -0.5 at t = 0, expected positive before t = 1"),
        ({"b": lambda t: 2 * t - 1}, "b of 'bad' is -1 at t = 0, expected positive after t = 0"),
        ({"aa_prime": lambda t: 2 * t * (1 - t**2)}, "aa_prime of 'bad' is .* expected not positive"),
        ({"b_prime": lambda t: -2 * t}, "b_prime of 'bad' is .* expected not negative"),
        ({"aa_prime": lambda t: -4 * t * (1 - t**2)}, "aa_prime of 'bad' .* expected half the derivative of a2"),
        ({"b_prime": lambda t: 2 * t + 1e-4}, "b_prime of 'bad' .* expected the derivative of b"),
        ({"a2": lambda t: (1 - t**2) ** 2 / t}, "a2 of 'bad' has shape .* is not finite"),
        ({"b": lambda t: torch.ones(())}, "b of 'bad' has shape"),
    ],
)
def test_register_refuses(registry, change, message):
    with pytest.raises(InputError, match=message):
        register(dataclasses.replace(GOOD, name="bad", **change))
    assert "bad" not in registry


@pytest.mark.parametrize("name", ["", "My own", "ve-2.5", "a/b", "-a"])
def test_register_refuses_a_name_that_no_result_could_have(registry, name):
    with pytest.raises(InputError, match=f"the schedule's name is '{name}', expected lower case with hyphens"):
        register(dataclasses.replace(GOOD, name=name))


@pytest.mark.parametrize("t_max", [0.0, 1.1, math.nan])
def test_t_max_is_a_time(t_max):
    with pytest.raises(InputError, match="t_max"):
        dataclasses.replace(GOOD, t_max=t_max)
