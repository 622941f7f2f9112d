import math

import pytest
import torch

from cases import generator, jacobian, normal, randomised, split_of
from pushforward.errors import InputError
from pushforward.families import Implicit
from pushforward.families.multiscale import image_blocks
from pushforward.families.whitening import preconditioned
from pushforward.flows import ActNorm, Chain, Flow, ImplicitBlock, Logit, Squeeze, load_flow
from pushforward.implicit import update_norms
from pushforward.metrics import round_trip

SHAPE = (1, 4, 4)


def settings(**more):
    net = {"kind": "conv", "shape": list(SHAPE), "scales": 2, "width": 5, "coeff": 0.9} | more.pop("net", {})
    return Implicit(
        **({"kind": "impflow", "blocks": 4, "net": net, "actnorm": True, "precondition": ("logit",)} | more)
    )


def flow(kind="impflow", blocks=4, **more):
    """Logit and random blocks at their Lipschitz bounds, in float64."""
    layers = [Logit(16), *image_blocks(settings(kind=kind, blocks=blocks, **more), 16)]
    random = randomised(Chain(16, layers).double(), 0.6)
    return Flow(random).eval()


def images(n=6):
    return torch.rand(n, 16, generator=generator(2), dtype=torch.float64)


def test_the_layout_is_that_of_the_paper():
    """2-2-2 blocks at 3, 12 and 48 channels, ActNorm before the first and after every block."""
    made = settings(blocks=6, spread=2.0, net={"shape": (3, 8, 4), "scales": 3})
    blocks = image_blocks(made, 96)
    kinds = "".join({ActNorm: "n", ImplicitBlock: "b", Squeeze: "s"}[type(block)] for block in blocks)
    assert kinds == "nbnbnsbnbnsbnbn"
    norms = [b for b in blocks if type(b) is ActNorm]
    assert [b.channels for b in norms] == [3, 3, 3, 12, 12, 48, 48]
    assert [b.spread for b in norms] == [2.0] * 6 + [1.0]
    nets = [net for b in blocks if type(b) is ImplicitBlock for net in (b.g_x, b.g_z)]
    assert [net.shape for net in nets] == [(3, 8, 4)] * 4 + [(12, 4, 2)] * 4 + [(48, 2, 1)] * 4
    assert [net.preactivation for net in nets] == [False, False] + [True] * 10
    assert {net.width for net in nets} == {5}
    assert {block.dim for block in blocks} == {96}


def test_one_scale_without_actnorm_is_blocks_alone():
    blocks = image_blocks(settings(blocks=3, actnorm=False, net={"scales": 1}), 16)
    assert [type(block) for block in blocks] == [ImplicitBlock] * 3


def test_the_settings_build_it_behind_the_logit():
    x = images().float()
    made = settings()
    start = made.build(split_of(x))
    assert [type(block) for block in start.bijection.blocks] == [Logit]
    assert len(made._blocks(16)) == 10


def test_an_impflow_has_the_parameters_of_twice_as_many_residual_blocks():
    """ActNorm, which stands after every block, is left out of the count."""
    count = {
        kind: sum(p.numel() for b in flow(kind, blocks, actnorm=False).bijection.blocks for p in b.parameters())
        for kind, blocks in (("impflow", 2), ("resflow", 4))
    }
    # The first blocks have no activation before them: one learned β a network.
    assert count["impflow"] - count["resflow"] == -1


@pytest.mark.parametrize("kind", ["impflow", "resflow", "inverse-resflow"])
def test_the_density_is_exact(kind):
    random, x = flow(kind), images()
    expected = torch.linalg.slogdet(jacobian(random.bijection, x))
    z, log_det = random.bijection.forward_and_log_det(x)
    assert (expected[0] == 1).all()
    torch.testing.assert_close(log_det, expected[1], rtol=0, atol=1e-8)
    normal_law = torch.distributions.Normal(torch.zeros(16).double(), 1)
    torch.testing.assert_close(random.log_prob(x), normal_law.log_prob(z).sum(1) + expected[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["impflow", "resflow", "inverse-resflow"])
def test_there_and_back_in_both_directions(kind):
    random, x = flow(kind), images()
    assert round_trip(random, x).max_abs < 1e-9
    z = normal(5, 16)
    with torch.no_grad():
        torch.testing.assert_close(random.bijection(random.bijection.inverse(z)), z, rtol=0, atol=1e-8)


def test_the_gradient_of_the_likelihood_is_that_of_central_differences():
    random, x = flow(), images()
    parameters = list(random.parameters())
    gradients = torch.autograd.grad(random.log_prob(x).mean(), parameters)
    assert all(g.abs().max() > 0 for g in gradients)
    draws, step = generator(1), 1e-6
    directions = [torch.randn(p.shape, generator=draws, dtype=p.dtype) for p in parameters]
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += sign * step * direction
            update_norms(random)
            values.append(random.log_prob(x).mean())
    slope = (values[0] - values[1]) / (2 * step)
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-7)


def test_every_network_acts_at_its_bound():
    kappas = [net.kappa for b in flow().bijection.blocks if isinstance(b, ImplicitBlock) for net in (b.g_x, b.g_z)]
    assert kappas == pytest.approx([0.9**3] * 8, rel=1e-9)


def test_it_comes_back_from_disk(tmp_path):
    random, x = flow(), images()
    with torch.no_grad():
        before = random.log_prob(x)
        again = load_flow(random.save(tmp_path))
        assert torch.equal(again.log_prob(x), before)


@pytest.mark.parametrize(
    ("change", "dim", "message"),
    [
        ({"blocks": 3}, 16, "3 blocks on 2 scales, expected as many on each"),
        ({"net": {"scales": 0}}, 16, "4 blocks on 0 scales"),
        ({}, 64, r"net has the shape \(1, 4, 4\), of dimension 16, but the points have dimension 64"),
        ({"net": {"shape": [4, 4]}}, 16, r"shape is \(4, 4\), expected channels, height and width"),
        ({"net": {"shape": [1, 2, 2], "scales": 4}}, 4, r"shape is \(4, 1, 1\), expected an even height"),
    ],
)
def test_layouts_that_do_not_fit_are_named(change, dim, message):
    with pytest.raises(InputError, match=message):
        image_blocks(settings(**change), dim)


def test_a_net_without_a_shape_is_named():
    with pytest.raises(InputError, match=r"net has no shape, expected channels, height and width"):
        image_blocks(Implicit(net={"kind": "conv", "width": 4}), 16)


def test_a_setting_that_no_convolution_knows_is_found_before_the_data():
    with pytest.raises(InputError, match="'conv' does not know"):
        Implicit(net={"kind": "conv", "shape": [1, 4, 4], "depth": 3})


def test_the_logit_alone_is_uniform_noise_made_a_density():
    """Its law on [0, 1] is that of z = logit(s); with one coordinate the normal's density times the slope."""
    x = images()[:, :1]
    z = torch.log((0.05 + 0.9 * x) / (0.95 - 0.9 * x))
    slope = 0.9 / ((0.05 + 0.9 * x) * (0.95 - 0.9 * x))
    expected = -0.5 * z.square() - 0.5 * math.log(2 * math.pi) + slope.log()
    torch.testing.assert_close(preconditioned(("logit",), x).log_prob(x), expected[:, 0], rtol=1e-12, atol=1e-12)
