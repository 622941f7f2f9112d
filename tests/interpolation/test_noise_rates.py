import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.interpolation import MAXIMA, RATES, SCHEDULES, VARIANTS, by_name, noise_rate, register, schedules

CLOSED = {
    "linear": lambda tau, top: (0.1 + (top - 0.1) * tau, 0.1 * tau + (top - 0.1) * tau**2 / 2),
    "quadratic": lambda tau, top: (0.1 + (top - 0.1) * tau**2, 0.1 * tau + (top - 0.1) * tau**3 / 3),
    "constant": lambda tau, top: (top, top * tau),
}


def test_three_rates_with_five_maxima_are_known_by_name():
    assert set(RATES) == set(CLOSED) and len(MAXIMA) == 5
    assert list(VARIANTS) == [f"vp-{rate}-{top:g}" for rate in RATES for top in MAXIMA]
    assert by_name("vp-quadratic-5") is VARIANTS["vp-quadratic-5"]
    assert not set(VARIANTS) & set(SCHEDULES)  # the theorems' tables go through SCHEDULES


@pytest.mark.parametrize("rate", CLOSED)
@pytest.mark.parametrize("top", [*MAXIMA, 0.25])
def test_the_closed_form(rate, top):
    """b² = exp(−∫β), a² = 1 − b² and b'/b = β/2, told backwards in time."""
    schedule, t = noise_rate(rate, top), torch.linspace(0, 1, 21, dtype=torch.float64)
    found = schedule.at(t)
    for i, time in enumerate(t.tolist()):
        beta, total = CLOSED[rate](1 - time, top)
        assert float(found.b[i]) == pytest.approx(math.exp(-total / 2), rel=1e-13)
        assert float(found.a2[i]) == pytest.approx(1 - math.exp(-total), rel=1e-12, abs=1e-15)
        assert float(found.b_prime[i] / found.b[i]) == pytest.approx(beta / 2, rel=1e-13)
        assert float(found.aa_prime[i] / found.b[i] ** 2) == pytest.approx(-beta / 2, rel=1e-13)


def test_the_constant_rate_is_the_ornstein_uhlenbeck_schedule():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    for found, wanted in zip(noise_rate("constant", 6).at(t), by_name("vp").at(t), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-15)


def test_a_rate_of_another_maximum_is_registered_by_hand(monkeypatch):
    monkeypatch.setattr(schedules, "SCHEDULES", dict(SCHEDULES))
    assert register(noise_rate("linear", 2.5)).name == "vp-linear-2-5"
    assert by_name("vp-linear-2-5").t_max == 0.999
    with pytest.raises(InputError, match="'vp-linear-20' exists"):
        register(noise_rate("linear", 20))


@pytest.mark.parametrize(
    ("rate", "top", "message"),
    [
        ("cosine", 5, r"noise rate 'cosine' is unknown, expected one of \['constant', 'linear', 'quadratic'\]"),
        ("linear", 0.1, "the maximal noise rate is 0.1, expected a number above 0.1"),
        ("constant", math.inf, "is inf"),
        ("linear", math.nan, "is nan"),
    ],
)
def test_bad_settings_are_named(rate, top, message):
    with pytest.raises(InputError, match=message):
        noise_rate(rate, top)
