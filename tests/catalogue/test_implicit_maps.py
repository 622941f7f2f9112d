"""The hard maps of the studies reach their bounds."""

import pytest
import torch

from cases import jacobian, normal
from pushforward.catalogue.implicit_maps import contracting_network, rotation


@pytest.mark.parametrize("dim", [2, 5])
def test_the_network_is_as_far_from_the_identity_as_its_bound_lets_it(dim):
    g = contracting_network(dim, (8, 9), 0.9)
    assert g.kappa == pytest.approx(0.9, abs=1e-12)
    at_zero = jacobian(g, torch.zeros(1, dim, dtype=torch.float64))[0]
    torch.testing.assert_close(at_zero, -0.9 * torch.eye(dim, dtype=torch.float64), rtol=0, atol=1e-12)
    away = torch.linalg.matrix_norm(jacobian(g, normal(20, dim)), 2)
    assert (away < 0.9).all() and (away > 0).all()


def test_a_rotation_shrinks_every_distance_by_kappa():
    g, x = rotation(6, 0.7), normal(9, 6)
    torch.testing.assert_close(g(x).norm(dim=1), 0.7 * x.norm(dim=1), rtol=1e-12, atol=0)
