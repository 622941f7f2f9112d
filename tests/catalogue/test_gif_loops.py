"""Loops through a shared source: closed forms for affine flows, errors that are the solver's, digits that only turn."""

import copy
import math

import numpy as np
import pytest
import torch

from cases import ExactPrediction, LinearVelocity, generator, normal, randomised
from pushforward import datasets
from pushforward.catalogue import gif_loops
from pushforward.flows import Affine, Chain, Flow, ODEBijection, with_solver
from pushforward.interpolation import TARGETS, InterpolationVelocity, by_name
from pushforward.interpolation.flow_map import quantile_map
from pushforward.metrics import round_trip
from pushforward.nets import MLP
from pushforward.numerics import Adaptive, FixedGrid

EXACT = Adaptive(1e-11, 1e-11)


def gaussian(mean, covariance):
    moments = torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64)
    return Flow(Chain(2, [Affine.from_moments(*moments)]))


def linear(matrix):
    velocity = LinearVelocity(2).double()
    velocity.matrix.data = torch.tensor(matrix, dtype=torch.float64)
    return Flow(Chain(2, [ODEBijection(velocity, EXACT)]))


def learned(seed, solver=EXACT, dtype=torch.float64):
    velocity = randomised(MLP(2, (16, 16), "silu", time=True), 0.6, seed)
    return Flow(Chain(2, [ODEBijection(velocity, solver, t_data=1.0, t_latent=0.0)])).to(dtype).eval()


def test_gaussians_are_translated_by_their_moments():
    first, second = gaussian([1.0, -2.0], [[4.0, 0.0], [0.0, 0.25]]), gaussian([0.5, 3.0], [[1.0, 0.0], [0.0, 9.0]])
    x = normal(50, 2)
    exact = torch.tensor([0.5, 3.0]) + (x - torch.tensor([1.0, -2.0])) * torch.tensor([1 / 2, 3 / 0.5])
    torch.testing.assert_close(gif_loops.translate(first, second, x), exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(gif_loops.translate(second, first, exact), x, rtol=0, atol=1e-12)


def test_linear_flows_are_translated_by_matrix_exponentials_in_this_order():
    a, b = [[0.5, 0.3], [-0.2, 0.1]], [[-0.4, 0.0], [0.7, 0.2]]
    forward, back = torch.tensor(a, dtype=torch.float64), -torch.tensor(b, dtype=torch.float64)
    exact = torch.matrix_exp(back) @ torch.matrix_exp(forward)
    x = normal(20, 2)
    found = gif_loops.translate(linear(a), linear(b), x)
    torch.testing.assert_close(found, x @ exact.T, rtol=0, atol=1e-9)
    assert not found.requires_grad


def ideal(target, schedule, tolerance=1e-11):
    """The flow that an ideal training of an interpolation would end with."""
    law = TARGETS[target].law
    velocity = InterpolationVelocity(ExactPrediction(law, schedule, "angle"), by_name(schedule), "angle")
    ode = ODEBijection(velocity, Adaptive(tolerance, tolerance), t_data=1.0, t_latent=0.0)
    return Flow(Chain(law.dim, [ode]))


def test_on_the_line_laws_are_translated_by_their_quantiles_whatever_the_schedules():
    first, second = ideal("T-A1", "linear", 1e-9), ideal("T-H", "foellmer", 1e-9)
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    x, exact = (quantile_map(TARGETS[target].law, z) for target in ("T-A1", "T-H"))
    torch.testing.assert_close(gif_loops.translate(first, second, x), exact, rtol=0, atol=1e-5)  # t stays 1e-6 from 1


def test_flows_alike_translate_a_point_into_itself():
    flow, x = learned(1), normal(30, 2)
    for other in (flow, copy.deepcopy(flow)):
        torch.testing.assert_close(gif_loops.translate(flow, other, x), x, rtol=0, atol=1e-8)
    assert (gif_loops.translate(flow, learned(2), x) - x).abs().max() > 0.1


@pytest.mark.parametrize("loop", ["auto-encoding", "cycle"])
def test_loops_close_as_far_as_the_solver_does(loop):
    first = ideal("T-B", "trigonometric")
    second = first if loop == "auto-encoding" else ideal("T-C", "trigonometric")
    rows = gif_loops.loop_errors(first, second, TARGETS["T-B"].law.sample(40, generator()), gif_loops.TOLERANCES)
    tolerances, errors = zip(*rows, strict=True)
    assert tolerances == gif_loops.TOLERANCES
    assert all(later < sooner for sooner, later in zip(errors[:-1], errors[1:], strict=True))
    order = math.log(errors[0] / errors[-1]) / math.log(tolerances[0] / tolerances[-1])
    assert 0.8 < order < 1.5
    assert all(error < 100 * tolerance for tolerance, error in rows)


def test_auto_encoding_is_the_round_trip_and_a_cycle_with_oneself_makes_it_twice():
    flow, x, tolerance = learned(3), normal(25, 2), 1e-4
    solved = with_solver(flow, Adaptive(tolerance, tolerance))
    ((_, once),) = gif_loops.loop_errors(flow, flow, x, [tolerance])
    assert once == round_trip(solved, x).rms > 1e-7
    ((_, cycle),) = gif_loops.loop_errors(flow, copy.deepcopy(flow), x, [tolerance])
    with torch.no_grad():
        twice = x
        for _ in range(2):
            twice = solved.bijection.inverse(solved.bijection(twice))
    assert cycle == pytest.approx(float((twice - x).norm() / math.sqrt(len(x))), rel=1e-12)


def test_flows_of_single_precision_on_a_coarse_grid_are_measured_in_double_and_left_alone():
    first, second = (learned(seed, FixedGrid(1), torch.float32) for seed in (2, 3))
    x = normal(20, 2, dtype=torch.float32)
    ((_, error),) = gif_loops.loop_errors(first, second, x, [1e-11])
    assert error < 1e-9  # float32, or one step of RK4, would leave far more
    for flow in (first, second):
        assert flow.bijection.blocks[0].solver == FixedGrid(1)
        assert next(flow.parameters()).dtype == torch.float32


def test_angles_are_those_of_the_latent_points():
    z = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 3.0], [0.0, -1.0]], dtype=torch.float64)
    flow = gaussian([5.0, -1.0], [[4.0, 0.0], [0.0, 0.25]])
    x = torch.tensor([5.0, -1.0]) + z * torch.tensor([2.0, 0.5])
    assert gif_loops.angles(flow, x) == pytest.approx(np.array([0, np.pi / 2, 3 * np.pi / 4, -np.pi / 2]))


# --- digits -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", "smoke", 0)


@pytest.fixture(scope="module")
def turned():
    return gif_loops.rotated_digits("smoke", 0)


def test_rotated_digits_are_the_digits_with_their_pixels_permuted(digits, turned):
    order = torch.as_tensor(np.rot90(np.arange(64).reshape(8, 8)).ravel().copy())
    assert sorted(order.tolist()) == list(range(64)) and order.tolist() != list(range(64))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(turned, part), getattr(digits, part)[:, order])
    pictures = digits.test.reshape(-1, 8, 8)
    assert torch.equal(turned.test.reshape(-1, 8, 8)[3, 0], pictures[3, :, -1])  # what was at the right is on top
    assert not torch.equal(digits.test, datasets.load("digits", "smoke", 0).test[:, order])


def test_rotated_digits_are_another_data_set_of_the_same_seed(digits, turned):
    assert turned.name == turned.label == "digits-rotated" != digits.name
    assert turned.sha256 != digits.sha256
    assert turned.preprocessing == digits.preprocessing
    again = gif_loops.rotated_digits("smoke", 1)
    assert not torch.equal(again.train, turned.train)


def test_a_flow_of_the_turned_digits_turns_them(digits, turned):
    first = Affine.fit(digits.train.double())
    second = copy.deepcopy(first)  # the same latent code for a digit and for the turned digit
    order = torch.as_tensor(np.rot90(np.arange(64).reshape(8, 8)).ravel().copy())
    second.mean, second.matrix = first.mean[order], first.matrix[:, order]
    x = digits.test[:5].double()
    flows = (Flow(Chain(64, [block])) for block in (first, second))
    pictures = gif_loops.digit_loop(*flows, x, turned)
    assert list(pictures) == ["digit", "translated", "back"]
    assert pictures["digit"] == pytest.approx(17 * x.numpy().reshape(5, 8, 8), abs=1e-9)
    assert pictures["translated"] == pytest.approx(np.rot90(pictures["digit"], axes=(1, 2)), abs=1e-8)
    assert pictures["back"] == pytest.approx(pictures["digit"], abs=1e-8)
