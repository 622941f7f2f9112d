"""What a training needs, by sizes that are known beforehand, each in a process of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch

from pushforward import peak_memory
from pushforward.datasets import Split
from pushforward.errors import InputError, PushforwardError
from pushforward.families import FFJORD, JKO
from pushforward.fit import FitConfig
from pushforward.peak_memory import Cost, measure, training_cost, training_peak

WIDTH, BATCH = 128, 2000
FAMILY = JKO(
    {"kind": "mlp", "widths": (WIDTH, WIDTH), "activation": "silu"},
    blocks=2,
    steps=2,
    stop_ratio=0.0,
    stop_on_rise=False,
    fit=FitConfig(iterations=3, batch=BATCH),
)


def points(count=600, dim=4):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def peaks():
    """MiB by batch, with 512 MiB in this process that must not count there."""
    ballast = torch.ones(2**27)
    found = {
        batch: training_peak(replace(FAMILY, fit=FitConfig(batch=batch)), points()) for batch in (BATCH, 2 * BATCH)
    }
    del ballast
    return found


def test_the_peak_is_at_least_the_graph_and_not_much_more(peaks):
    """Two RK4 steps evaluate a block 8 times; each keeps 2 layers, their slopes and gates, of WIDTH floats a point."""
    layer = 8 * WIDTH * 4 * BATCH / 2**20
    assert 4 * layer < peaks[BATCH] < 40 * layer


def test_the_peak_doubles_with_the_batch(peaks):
    assert 1.8 < peaks[2 * BATCH] / peaks[BATCH] < 2.2


def test_the_counts_are_those_of_the_settings():
    """Here, where no process needs to start: 8 evaluations a minibatch, 2 blocks."""
    split = Split.from_points(points())
    small = replace(FAMILY, fit=FitConfig(iterations=3, batch=10))
    asked, own = measure(small, split, 2, 0), measure(small, split, None, 0)
    assert (asked.minibatches, asked.evaluations) == (2 * 2, 2 * 2 * 8)
    assert (own.minibatches, own.evaluations) == (2 * 3, 2 * 3 * 8)
    assert asked.seconds > 0


def test_every_iteration_but_those_of_the_warm_up_has_the_batch_of_the_settings(monkeypatch):
    seen = []

    def fit(module, objective, points, config, seed, **settings):
        seen.append((settings["purpose"], config.iterations, config.batch))
        return real(module, objective, points, config, seed, **settings)

    real = peak_memory.fit
    monkeypatch.setattr(peak_memory, "fit", fit)
    measure(replace(FAMILY, fit=FitConfig(batch=7)), Split.from_points(points()), 1, 0)
    assert seen == [("block-1", 2, 16), ("block-1", 1, 7), ("block-2", 1, 7)]


def test_a_family_travels_as_plain_settings():
    asked = replace(FAMILY, h=(0.5, 0.25), precondition=("affine",))
    assert peak_memory._rebuilt(**peak_memory._described(asked)) == asked
    assert peak_memory._rebuilt(**peak_memory._described(FFJORD(steps=3))) == FFJORD(steps=3)


@dataclass(frozen=True)
class Unplain:
    """A family whose settings JSON cannot hold."""

    thing: object = field(default_factory=object)

    name: ClassVar[str] = "unplain"
    algorithm_version: ClassVar[int] = 1

    def build(self, split):
        raise NotImplementedError

    def stages(self, flow, split, history, seed) -> Iterator:
        raise NotImplementedError


def test_settings_that_are_not_plain_are_an_error():
    with pytest.raises(InputError, match="not plain"):
        training_cost(Unplain(), points())


def test_a_family_of_no_importable_module_is_an_error():
    @dataclass(frozen=True)
    class Local(JKO):
        pass

    with pytest.raises(InputError, match="can import"):
        training_cost(Local(), points())


def test_what_a_failing_training_said_is_passed_on():
    unknown = replace(FAMILY, velocity={"kind": "mlp", "depth": 3})
    with pytest.raises(PushforwardError, match=r"status 1: .*'mlp' does not know"):
        training_cost(unknown, points())


def test_points_that_are_not_finite_are_an_error():
    with pytest.raises(InputError, match="nan|NaN|finite"):
        training_cost(FAMILY, torch.full((20, 2), torch.nan))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_an_accelerator_its_own_memory_counts():
    found = training_cost(FAMILY, points(), device="cuda")
    assert isinstance(found, Cost)
    assert found.memory > 4 * 8 * WIDTH * 4 * BATCH / 2**20
