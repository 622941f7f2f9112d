import math

import pytest

from pushforward.report.results import Row
from pushforward.report.summary import difference, exact, measured, number


def row(value: float, sd: float | None = None, n: int = 1, published: float | None = None) -> Row:
    return Row("a/b/c/d", value, sd, n, "nats", "lower", published, "", "-", "smoke", "01-x", None, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (2.6449, "2.645"),
        (-157.754, "−157.75"),
        (12, "12"),
        (123456.0, "123460"),
        (1.23e-6, "1.23e−6"),
        (2.5e7, "2.5e7"),
        (1e-12, "1e−12"),
        (0.001, "0.001"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_a_published_number_keeps_its_digits():
    assert [exact(v) for v in (2.64, -157.75, 1.2345e-5, None)] == ["2.64", "−157.75", "1.2345e−5", ""]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (row(2.6449), "2.645"),
        (row(2.6449, 0.0123, 3), "2.645 ± 0.012 (3)"),
        (row(-157.754, 1.234, 3), "−157.8 ± 1.2 (3)"),
        (row(1500.0, 123.4, 3), "1500 ± 123.4 (3)"),
        (row(2e-7, 1e-8, 3), "2e−7 ± 1e−8 (3)"),
        (row(2.0, 0.0, 3), "2 (3)"),
    ],
)
def test_measured(entry, text):
    assert measured(entry) == text


def test_difference():
    assert difference(row(2.5)) == ""
    assert difference(row(2.5, published=2.64)) == "−0.14"
    assert difference(row(2.7, published=2.64)) == "+0.06"
    assert math.isclose(float(difference(row(1.0, published=1.0))), 0)
