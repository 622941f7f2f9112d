"""Rounds of retraining against the JKO steps of a Gaussian, which are known in closed form."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cases import LinearVelocity, exact_moments, minimise, split_of
from pushforward import experiment
from pushforward.errors import InputError
from pushforward.families import JKO, Interpolation, certify
from pushforward.fit import FitConfig, FitHistory
from pushforward.metrics import variation
from pushforward.nets import NETS
from pushforward.rounds import distances, refine, reparameterise, step_sizes, table, updated_steps, val_nll

MEAN = torch.tensor([1.5, -0.5], dtype=torch.float64)
SD = torch.tensor([3.0, 0.4], dtype=torch.float64)
ENTROPY = float(SD.log().sum()) + math.log(2 * math.pi * math.e)
SHIFT = {"kind": "labelled-shift", "nodes": 1}
DATA = split_of(exact_moments(200, MEAN, SD), exact_moments(150, MEAN, SD, seed=1))


def family(**settings):
    """Four steps of ½ with linear velocities, whose optimum is the closed form."""
    chosen = {"blocks": 4, "h0": 0.5, "growth": 1.0, "h_max": 50.0, "fit": FitConfig(iterations=5, batch=20)}
    return JKO({"kind": "linear"}, precondition=(), steps=2, stop_ratio=0.0, **chosen | settings)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The same question is answered once in all of these tests."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(autouse=True)
def exactly(artifacts, monkeypatch):
    """Every stage is trained to its exact minimum."""

    def fit(module, objective, points, config, seed, **settings):
        module.train()
        minimise(SimpleNamespace(module=module, objective=objective, points=points))
        module.eval()
        return FitHistory(iterations=config.iterations, seconds=1.0)

    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(artifacts))
    monkeypatch.setitem(NETS, "linear", LinearVelocity)
    monkeypatch.setattr(experiment, "fit", fit)
    monkeypatch.setattr(certify, "PROBES", 100)


def trajectory(h):
    """S_k and KL(p_k ‖ N(0, I)) of exact JKO steps of these sizes. Source: note §10.1."""
    mean, sd, moved, kl = MEAN, SD, [], []
    for step in h:
        new_mean, new_sd = mean / (1 + step), (sd + torch.sqrt(sd**2 + 4 * step * (1 + step))) / (2 * (1 + step))
        moved.append(math.sqrt(float(((new_mean - mean) ** 2 + (new_sd - sd) ** 2).sum())))
        mean, sd = new_mean, new_sd
        kl.append(float(0.5 * (sd**2 + mean**2 - 1 - 2 * sd.log()).sum()))
    return moved, kl


def rounds(count=3, **settings):
    return reparameterise("gauss", family(), DATA, count, **{"spread": 0.0, "patience": 9, "device": "cpu"} | settings)


# --- the update -------------------------------------------------------------------------------------------------------


def test_a_step_goes_half_way_to_the_one_that_would_move_as_far_as_the_mean():
    # S̄ = 2: the first block moves twice too much, the last half of what it should.
    assert updated_steps([1.0, 2.0, 3.0], [4.0, 1.0, 1.0]) == (0.75, 3.0, 4.5)
    assert updated_steps([1.0, 2.0, 3.0], [4.0, 1.0, 1.0], eta=1.0) == (0.5, 4.0, 6.0)
    assert updated_steps([1.0, 2.0, 3.0], [4.0, 1.0, 1.0], eta=1.0, h_max=5.0) == (0.5, 4.0, 5.0)


def test_steps_of_equal_movement_stay():
    assert updated_steps([0.3, 0.7], [1.5, 1.5]) == (0.3, 0.7)


def test_a_block_that_does_not_move_gets_the_largest_step():
    assert updated_steps([1.0, 1.0], [2.0, 0.0], h_max=7.0) == (0.75, 7.0)


def test_a_step_size_has_four_digits():
    assert updated_steps([1.0, 1.0], [1.0, 2.0], eta=1.0) == (1.5, 0.75)
    assert updated_steps([1.0, 1.0], [3.0, 1.0], eta=1.0) == (0.6667, 2.0)


def test_other_numbers_of_steps_and_movements_are_named():
    with pytest.raises(InputError, match="2 step sizes and 1 distances"):
        updated_steps([1.0, 1.0], [1.0])


# --- the closed form --------------------------------------------------------------------------------------------------


def test_every_round_is_the_closed_form_trajectory_of_its_steps():
    h = [0.5] * 4
    for result in rounds():
        moved, kl = trajectory(h)
        assert step_sizes(result) == h
        assert distances(result) == pytest.approx(moved, abs=1e-5)
        found = [row["val_nll"] - ENTROPY for row in result.history.stages[1:]]
        assert found == pytest.approx(kl, abs=1e-5)
        h = list(updated_steps(h, moved, 0.5))


def test_the_variation_falls_to_less_than_half_and_the_nll_does_not_rise():
    found = table(rounds())
    spread = [row["distance_cv"] for row in found]
    assert spread == sorted(spread, reverse=True) and spread[-1] < 0.5 * spread[0]
    assert spread[0] == pytest.approx(variation(trajectory([0.5] * 4)[0]), abs=1e-5)
    assert found[-1]["val_nll"] < found[0]["val_nll"]


def test_refined_steps_are_the_closed_form_trajectory_of_half_the_size():
    results = refine("gauss", family(), DATA, 2, device="cpu")
    assert [step_sizes(r) for r in results] == [[0.5] * 4, [0.25] * 8, [0.125] * 16]
    for result in results:
        moved, kl = trajectory(step_sizes(result))
        assert distances(result) == pytest.approx(moved, abs=1e-5)
        assert val_nll(result) - ENTROPY == pytest.approx(kl[-1], abs=1e-5)


def test_before_it_is_retrained_a_refined_flow_is_its_parent(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))
    first = refine("gauss", family(), DATA, 0, device="cpu")[0]
    monkeypatch.setattr(experiment, "fit", lambda module, *a, **k: module.eval() and FitHistory())
    refined = refine("gauss", family(), DATA, 1, start=first, device="cpu")[1]
    with torch.no_grad():
        torch.testing.assert_close(refined.flow.log_prob(DATA.val), first.flow.log_prob(DATA.val), rtol=0, atol=1e-6)


def test_the_free_block_stays_free_and_is_not_counted():
    chosen = family(blocks=3, free_block=True)
    base, once = reparameterise("free", chosen, DATA, 1, spread=0.0, device="cpu")
    halved = refine("free", chosen, DATA, start=once, device="cpu")[1]
    for result, blocks in ((base, 2), (once, 2), (halved, 4)):
        assert len(step_sizes(result)) == len(distances(result)) == blocks
        assert result.history.stages[-1]["h"] is None
        assert val_nll(result) == pytest.approx(ENTROPY, abs=1e-5)  # with no penalty the Gaussian arrives
    assert step_sizes(once) == list(updated_steps([0.5, 0.5], trajectory([0.5, 0.5])[0]))


# --- names, keys and costs --------------------------------------------------------------------------------------------


def test_rounds_are_remembered_under_keys_with_their_parent_in_them(monkeypatch):
    results = rounds(2)
    names = [result.folder.name for result in results]
    assert [name.rsplit("-", 1)[0] for name in names] == ["gauss", "gauss-round-1", "gauss-round-2"]
    assert results[0].key == experiment._key(family(), DATA, 0)
    h = tuple(step_sizes(results[1]))
    asked = family(h=h, parent=names[0], stop_on_rise=False)
    assert results[1].key == experiment._key(asked, DATA, 0)
    assert len({results[1].key, *(experiment._key(replace(asked, parent=name), DATA, 0) for name in names[1:])}) == 3

    def refuse(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(experiment, "fit", refuse)
    assert [result.folder.name for result in rounds(2)] == names


def test_the_table_adds_up_the_cost_of_all_rounds():
    rows = table(rounds(2))
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert [row["minibatches"] for row in rows] == [20, 40, 60]  # four blocks of five
    assert [row["evaluations"] for row in rows] == [160, 320, 480]  # two steps of four slopes each
    assert rows[0]["seconds"] > 4 and rows[2]["seconds"] > 12


def test_rounds_may_have_their_own_optimiser_and_bound():
    results = rounds(1, fit=FitConfig(iterations=2, batch=20), h_max=0.6)
    assert [row["minibatches"] for row in results[1].history.stages[1:]] == [2] * 4
    assert max(step_sizes(results[1])) == 0.6


def test_the_steps_that_a_family_gives_are_not_cut_to_its_bound():
    given = replace(family(h_max=3.0), h=(5.0, 5.0, 5.0))
    results = reparameterise("gauss", given, DATA, 1, spread=0.0, device="cpu")
    assert max(step_sizes(results[1])) == 5.0  # above h_max = 3


def test_rounds_go_on_from_a_result():
    refined = refine("gauss", family(), DATA, device="cpu")[-1]
    on = rounds(1, start=refined)
    assert on[0] is refined and len(step_sizes(on[1])) == 8
    assert variation(distances(on[1])) < variation(distances(refined))


# --- when to stop -----------------------------------------------------------------------------------------------------


def test_rounds_end_when_the_movements_are_even():
    spread = [row["distance_cv"] for row in table(rounds(3))]
    assert len(rounds(3, spread=1.0)) == 1
    assert len(rounds(3, spread=(spread[1] + spread[2]) / 2)) == 3


def test_rounds_end_when_the_likelihood_has_stopped_to_rise():
    # A bound below the steps that are there shortens them all: every round is worse than the first training.
    assert len(rounds(4, h_max=0.2, patience=1)) == 2
    assert len(rounds(4, h_max=0.2, patience=2)) == 3
    assert len(rounds(4, patience=1)) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta": 0.0}, "eta=0.0"),
        ({"eta": 1.5}, "eta=1.5"),
        ({"patience": 0}, "patience=0"),
        ({"spread": -0.1}, "spread=-0.1"),
        ({"rounds": -1}, "rounds is -1"),
        ({"family": Interpolation()}, "expected a JKO"),
        ({"family": JKO(precondition=(), target=SHIFT)}, "target is .*expected None"),
    ],
)
def test_bad_numbers_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        reparameterise(**{"name": "gauss", "family": family(), "data": DATA} | settings)


def test_a_start_without_a_block_is_named():
    class Nothing:
        folder, history = SimpleNamespace(name="case-0"), SimpleNamespace(stages=[{"stage": "start", "val_nll": 1.0}])

    for go_on in (reparameterise, refine):
        with pytest.raises(InputError, match="case-0 has no block of a finite step"):
            go_on("gauss", family(), DATA, start=Nothing())
