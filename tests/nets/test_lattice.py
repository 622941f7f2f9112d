import pytest
import torch
from scipy.interpolate import BSpline

from cases import generator, jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.nets import NETS, Lattice
from pushforward.nets.lattice import _Spline

RADIUS = 2.0


def network(sizes=(9, 12)):
    return randomised(Lattice(2, sizes, RADIUS).double(), 0.5)


def scattered(n=40, reach=RADIUS):
    """Points all over the square, some within a cell of the border, none on a knot."""
    x = (2 * torch.rand(n, 2, generator=generator(1), dtype=torch.float64) - 1) * reach
    return torch.cat([x, torch.tensor([[1.99, 0.3], [-1.97, 1.98], [0.2, -1.999]], dtype=torch.float64)])


def by_scipy(lattice, x):
    """Σ c_ab β(x₁/s − a) β(x₂/s − b) with scipy's cubic B-spline, zeros in three rings around the control points."""
    total = torch.zeros_like(x)
    for control, size in zip(lattice.control, lattice.sizes, strict=True):
        spacing = 2 * lattice.radius / (size + 3)
        bump = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
        centres = -lattice.radius + spacing * (torch.arange(size, dtype=x.dtype) + 2)
        weights = [torch.nan_to_num(torch.as_tensor(bump((x[:, i, None] - centres) / spacing))) for i in (0, 1)]
        total += torch.einsum("na,nb,abi->ni", *weights, spacing * control.detach())
    return total


def test_the_field_is_a_sum_of_cubic_b_splines():
    lattice, x = network(), scattered()
    torch.testing.assert_close(lattice(0.0, x).detach(), by_scipy(lattice, x))


def test_closed_forms_agree_with_autograd():
    lattice, x = network(), scattered()
    expected = jacobian(lambda y: lattice(0.0, y), x)
    v, found = lattice.velocity_and_jacobian(0.0, x)
    torch.testing.assert_close(v, lattice(0.0, x))
    torch.testing.assert_close(found, expected)
    _, divergence = lattice.velocity_and_divergence(0.0, x)
    torch.testing.assert_close(divergence, expected.diagonal(dim1=1, dim2=2).sum(1))
    direction = normal(len(x), 2)
    _, tangent = lattice.velocity_and_tangent(0.0, x, direction)
    torch.testing.assert_close(tangent, torch.einsum("nij,nj->ni", expected, direction))


def test_the_hand_written_gradient_of_value_and_jacobian():
    x = scattered(6).requires_grad_()
    control = torch.randn(11, 11, 2, generator=generator(2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y, c: _Spline.apply(y, c, RADIUS), (x, control))


def test_outside_the_square_the_field_is_zero():
    lattice = network()
    x = torch.tensor([[2.01, 0.0], [0.0, -2.01], [-5.0, 7.0], [2.01, 2.01], [1e6, 0.0]], dtype=torch.float64)
    v, found = lattice.velocity_and_jacobian(0.0, x)
    assert not v.any() and not found.any()


@pytest.mark.parametrize("edge", [RADIUS, -RADIUS, -RADIUS + 2 * RADIUS / 12 * 5], ids=["right", "left", "knot"])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_field_is_twice_differentiable_across_the_border_and_across_knots(edge, axis):
    lattice, step = network((9,)), 1e-6  # a lattice of 9 has knots every 2 · radius / 12
    x = torch.full((3, 2), 0.37, dtype=torch.float64)
    x[:, axis] = edge + step * torch.tensor([-1.0, 0.0, 1.0])
    x.requires_grad_()
    v, slopes = lattice.velocity_and_jacobian(0.0, x)
    bend = torch.autograd.grad(slopes.sum(), x)[0]
    for order in (v, slopes, bend):  # each jump across the edge is of the size of the step
        assert (order[2] - order[0]).abs().max() < 1e-3
        assert order[1].abs().max() < 1e-3 or edge not in (RADIUS, -RADIUS)


def test_control_points_are_in_units_of_their_spacing():
    coarse, fine = Lattice(2, (9,), RADIUS).double(), Lattice(2, (21,), RADIUS).double()
    slopes = []
    for lattice in (coarse, fine):
        with torch.no_grad():
            lattice.control[0][4, 4, 0] = 1.0
        spacing = 2 * RADIUS / (lattice.sizes[0] + 3)
        x = torch.full((1, 2), -RADIUS + spacing * 6.5, dtype=torch.float64)  # half a cell from the control point
        slopes.append(lattice.velocity_and_jacobian(0.0, x)[1].detach())
    torch.testing.assert_close(slopes[0], slopes[1])
    assert slopes[0].abs().max() > 0.1


@pytest.mark.parametrize("sizes", [(9,), (8, 16)])
def test_nan_in_is_nan_out(sizes):
    lattice = network(sizes)
    x = torch.tensor([[float("nan"), 0.1], [0.1, 0.2], [0.3, float("nan")], [float("inf"), 0.0]], dtype=torch.float64)
    v = lattice(0.0, x)
    assert v[[0, 2]].isnan().all()
    assert v[[1, 3]].isfinite().all()


def test_mixed_precision_leaves_the_lattice_alone():
    lattice, x = network().float(), scattered().float().requires_grad_()
    plain = lattice.velocity_and_jacobian(0.0, x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = lattice.velocity_and_jacobian(0.0, x)
    for a, b in zip(plain, mixed, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(*(torch.autograd.grad(part.sum(), x, retain_graph=True)[0] for part in (a, b)))


def test_a_new_block_is_the_identity():
    v, divergence = Lattice().velocity_and_divergence(0.0, normal(5, 2, dtype=torch.float32))
    assert not v.any() and not divergence.any()


def test_settings_rebuild_the_network():
    lattice = Lattice(2, (10, 8), 3.0)
    assert lattice.settings() == {"dim": 2, "sizes": [10, 8], "radius": 3.0}
    assert [p.shape for p in NETS["lattice"](**lattice.settings()).control] == [(10, 10, 2), (8, 8, 2)]


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="dim is 3"):
        Lattice(3)
    with pytest.raises(InputError, match="sizes is \\[16, 4\\]"):
        Lattice(2, (16, 4))
    with pytest.raises(InputError, match="at least one level"):
        Lattice(2, ())
    with pytest.raises(InputError, match="radius is 0"):
        Lattice(2, (8,), 0.0)
