import math

import pytest
import torch

from cases import LinearVelocity, normal
from pushforward.errors import InputError
from pushforward.flows import Affine, Chain, Flow, ODEBijection
from pushforward.metrics import block_distances, variation
from pushforward.numerics import FixedGrid


def shift(*by):
    block = ODEBijection(LinearVelocity(2).double(), FixedGrid(1))
    with torch.no_grad():
        block.velocity.offset += torch.tensor(by).double()
    return block


def test_a_block_that_shifts_moves_by_the_length_of_its_shift():
    whitening = Affine.fit(5 + 3 * normal(50, 2))
    flow = Flow(Chain(2, [whitening, shift(3.0, 4.0), shift(0.0, -1.0)]))
    assert block_distances(flow, normal(30, 2), batch=7) == pytest.approx([5.0, 1.0], abs=1e-12)
    assert block_distances(Flow(shift(0.0, 2.0)), normal(3, 2)) == pytest.approx([2.0], abs=1e-12)


def test_the_root_of_the_mean_square_at_the_points_where_the_block_begins():
    stretch = ODEBijection(LinearVelocity(2).double(), FixedGrid(40))
    with torch.no_grad():
        stretch.velocity.matrix += math.log(2) * torch.eye(2)  # x -> 2x moves x by |x|
    x = torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double()
    assert block_distances(Flow(Chain(2, [stretch, stretch])), x) == pytest.approx([math.sqrt(5), 2 * math.sqrt(5)])


def test_points_of_another_dimension_are_named():
    with pytest.raises(InputError, match="3"):
        block_distances(Flow(shift(1.0, 1.0)), normal(4, 3))


def test_the_coefficient_of_variation():
    assert variation([2.0, 2.0, 2.0]) == 0
    assert variation([1.0, 3.0]) == pytest.approx(0.5)  # mean 2, standard deviation 1
    assert variation([10.0, 30.0]) == pytest.approx(0.5)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [-1.0]])
def test_values_without_a_positive_mean_are_named(values):
    with pytest.raises(InputError, match="expected some with a positive mean"):
        variation(values)
