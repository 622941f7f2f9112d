import math

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from cases import jacobian, normal
from pushforward.classification.blocks import OnImages, PlainResidual, ReLUConvs, stage_blocks
from pushforward.errors import InputError
from pushforward.flows import ImplicitBlock
from pushforward.implicit import update_norms

SHAPE, WIDTH = (2, 4, 3), 5
DIM = math.prod(SHAPE)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def net(seed=0, coeff=0.9, scale=4.0, dtype=torch.float64):
    """A network whose convolutions are all at their bound, with biases that switch some pixels off."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        g = ReLUConvs(SHAPE, WIDTH, coeff)
        with torch.no_grad():
            for layer in g.layers:
                layer.parametrizations.weight.original.mul_(scale)
    g = g.to(dtype)
    g.update_norms()
    return g


def matrix(weight):
    """The matrix of a 3 × 3 convolution, entry by entry."""
    out, into, *_ = weight.shape
    height, width = SHAPE[1:]
    found = torch.zeros(out, height, width, into, height, width, dtype=weight.dtype)
    for i in range(height):
        for j in range(width):
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        found[:, i, j, :, i + di, j + dj] = weight[:, :, di + 1, dj + 1]
    return found.reshape(out * height * width, into * height * width)


def test_it_is_two_convolutions_each_followed_by_relu():
    g, x = net(), normal(7, DIM)
    (w1, b1), (w2, b2) = [(matrix(layer.weight), layer.bias.repeat_interleave(12)) for layer in g.layers]
    expected = (w2 @ (w1 @ x.T + b1[:, None]).relu() + b2[:, None]).relu().T
    assert torch.allclose(g(x), expected, rtol=0, atol=1e-12)
    assert (expected == 0).any() and (expected > 0).any()


@pytest.mark.parametrize(("coeff", "scale"), [(0.99, 4.0), (0.6, 4.0), (0.9, 0.1)])
def test_kappa_is_the_product_of_the_largest_singular_values(coeff, scale):
    g = net(coeff=coeff, scale=scale).eval()
    norms = [float(torch.linalg.matrix_norm(matrix(layer.weight.detach()), 2)) for layer in g.layers]
    assert g.kappa == pytest.approx(math.prod(norms), rel=1e-10)
    assert max(norms) <= coeff * (1 + 1e-9)
    if scale > 1:
        assert g.kappa == pytest.approx(coeff**2, rel=1e-9)
    assert g.train().kappa == pytest.approx(g.eval().kappa, rel=1e-6)


def test_no_distance_grows_by_more_than_kappa():
    g = net(coeff=0.8).eval()
    x, y = normal(200, DIM), normal(200, DIM, seed=1)
    assert ((g(x) - g(y)).norm(dim=1) <= g.kappa * (x - y).norm(dim=1)).all()


def test_kappa_is_computed_once_in_evaluation_and_forgotten_with_the_weights():
    g, other = net(coeff=0.9, scale=0.1).eval(), net(seed=3, coeff=0.9, scale=0.05).eval()
    before = g.kappa
    with torch.no_grad():
        for layer in g.layers:
            layer.parametrizations.weight.original.mul_(0.5)
    assert g.kappa == before  # kept, though the weights have changed: who changes them sets the mode again
    assert g.eval().kappa == pytest.approx(before / 4, rel=1e-9)
    g.load_state_dict(other.state_dict())
    assert g.kappa == pytest.approx(other.kappa, rel=1e-12)


def test_frozen_is_the_same_map_in_the_other_precision_without_a_graph():
    g, x = net(dtype=torch.float32), normal(5, DIM)
    exact = g.frozen(torch.float64)
    found = exact(x)
    assert found.dtype == torch.float64 and not found.requires_grad
    assert torch.allclose(found.float(), g(x.float()), atol=1e-6)
    again = net(dtype=torch.float32).double()(x)
    assert torch.allclose(found, again, atol=1e-6)


def test_a_solve_does_not_depend_on_what_frozen_saves():
    g_x, g_z, x = net(0), net(1), normal(6, DIM)
    found = ImplicitBlock(g_x, g_z)(x)
    plain = net(1)
    plain.frozen = None  # stands before the class's own: the equation takes the module itself

    class Slow(torch.nn.Module):
        dim, kappa = DIM, plain.kappa

        def __init__(self):
            super().__init__()
            self.g = plain

        def forward(self, z):
            return self.g(z)

    assert torch.allclose(ImplicitBlock(net(0), Slow())(x), found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("coeff", [0.99, 0.6])
def test_an_implicit_block_of_them_solves_its_equation_both_ways(coeff):
    g_x, g_z, x = net(0, coeff).eval(), net(1, coeff).eval(), normal(20, DIM)
    block = ImplicitBlock(g_x, g_z)
    z = block(x)
    assert torch.allclose(z + g_z(z), x + g_x(x), rtol=0, atol=1e-10)
    assert torch.allclose(block.inverse(z), x, rtol=0, atol=1e-8)
    assert block.audits["forward"].unconverged == 0


def test_its_gradients_are_those_of_the_implicit_function():
    g_x, g_z, x = net(0), net(1), normal(1, DIM)
    block, a = ImplicitBlock(g_x, g_z), normal(1, DIM, seed=5)
    z = block(x.requires_grad_())
    (z * a).sum().backward()
    eye = torch.eye(DIM, dtype=torch.float64)
    h = torch.linalg.solve((eye + jacobian(g_z, z.detach())[0]).T, a[0])
    assert torch.allclose(x.grad[0], (eye + jacobian(g_x, x.detach())[0]).T @ h, rtol=0, atol=1e-9)
    for g, point, sign in ((g_x, x, 1), (g_z, z, -1)):
        held = [(p, p.grad.clone()) for p in g.parameters()]
        expected = torch.autograd.grad((g(point.detach()) * h).sum(), [p for p, _ in held])
        for (_, found), want in zip(held, expected, strict=True):
            assert torch.allclose(found, sign * want, rtol=0, atol=1e-9)


def test_a_plain_block_adds_its_normalised_convolutions():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = PlainResidual(SHAPE, WIDTH).double()
    images = normal(6, *SHAPE)

    def layer(a, conv):
        return batch_norm(conv2d(a, conv.weight, padding=1), None, None, training=True, eps=1e-5).relu()

    expected = images + layer(layer(images, block.branch[0]), block.branch[3])
    assert torch.allclose(block(images), expected, rtol=0, atol=1e-12)


def test_the_methods_have_the_same_convolutions():
    def convolutions(method):
        blocks = torch.nn.ModuleList(stage_blocks(method, SHAPE, WIDTH, 0.9, None))
        return sorted(p.shape for p in blocks.parameters() if p.ndim == 4)

    assert convolutions("impflow") == convolutions("resflow") == convolutions("vanilla")
    assert len(convolutions("impflow")) == 4


def test_residual_blocks_solve_nothing_and_add():
    first, second = stage_blocks("resflow", SHAPE, WIDTH, 0.9, None)
    images = normal(3, *SHAPE, dtype=torch.float32)
    flat = images.flatten(1)
    assert torch.allclose(first(images).flatten(1), flat + first.bijection.g_x(flat), atol=1e-7)
    assert first.bijection.audits["forward"].solves == 0
    assert first.bijection.g_x is not second.bijection.g_x


def test_the_solver_is_the_one_asked_for():
    (block,) = stage_blocks("impflow", SHAPE, WIDTH, 0.9, {"kind": "fixed-point"})
    assert isinstance(block, OnImages) and type(block.bijection.solver).__name__ == "FixedPoint"


def test_a_bound_of_one_is_refused():
    with pytest.raises(InputError, match="coeff is 1.0"):
        ReLUConvs(SHAPE, WIDTH, 1.0)


def test_norms_are_renewed_after_the_weights_have_grown():
    g = net()
    with torch.no_grad():
        for layer in g.layers:
            layer.parametrizations.weight.original.copy_(normal(*layer.weight.shape, seed=9))
    update_norms(torch.nn.Sequential(g), 2000, 1e-12)
    norms = [float(torch.linalg.matrix_norm(matrix(layer.weight.detach()), 2)) for layer in g.layers]
    assert norms == pytest.approx([0.9, 0.9], rel=1e-3)
