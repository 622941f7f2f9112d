from itertools import permutations

import pytest
import torch

from cases import normal
from pushforward.errors import InputError
from pushforward.objectives import COUPLINGS, couple
from pushforward.objectives.coupling import GROUP

TRANSPORT = "optimal-transport"


def cost(z, x):
    return float((z - x).square().sum())


def rows(z):
    return sorted(map(tuple, z.tolist()))


def test_independent_rows_stay_where_they_are():
    z = normal(10, 2)
    assert torch.equal(couple(z, normal(10, 2, seed=1), "independent"), z)


@pytest.mark.parametrize("dim", [1, 3])
def test_the_assignment_is_the_cheapest_of_all(dim):
    z, x = normal(6, dim), 2 + normal(6, dim, seed=1)
    found = couple(z, x, TRANSPORT)
    assert rows(found) == rows(z)
    costs = [cost(z[list(order)], x) for order in permutations(range(6))]
    assert cost(found, x) == pytest.approx(min(costs), rel=1e-12)
    assert min(costs) < cost(z, x)


def test_on_a_line_it_sorts():
    z, x = normal(GROUP, 1), normal(GROUP, 1, seed=1).exp()
    found = couple(z, x, TRANSPORT)
    assert torch.equal(found[x[:, 0].argsort()], z.sort(0).values)


def test_groups_are_assigned_on_their_own():
    z, x = normal(2 * GROUP + 9, 2), normal(2 * GROUP + 9, 2, seed=1)
    found = couple(z, x, TRANSPORT)
    assert found.shape == z.shape and found.dtype == z.dtype
    for part, own, data in zip(found.split(GROUP), z.split(GROUP), x.split(GROUP), strict=True):
        assert rows(part) == rows(own)
        assert torch.equal(part, couple(own, data, TRANSPORT))
        assert cost(part, data) < 0.6 * cost(own, data)


def test_an_unknown_coupling_is_named():
    assert COUPLINGS == ("independent", TRANSPORT)
    with pytest.raises(InputError, match=r"coupling 'sinkhorn' is unknown, expected one of \['independent', 'optimal"):
        couple(normal(3, 2), normal(3, 2), "sinkhorn")
