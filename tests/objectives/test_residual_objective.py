import pytest
import torch

from cases import generator, normal, randomised
from pushforward.errors import InputError
from pushforward.flows import Chain, Flow, LabelledShift, ODEBijection, ResidualBlock
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid
from pushforward.objectives import JKOObjective, ResidualObjective

X = normal(30, 3)


def chain(terms=0):
    blocks = [ResidualBlock(randomised(MLP(3, (6,), "tanh").double(), 0.2, seed), terms) for seed in range(2)]
    return Chain(3, [*blocks, LabelledShift(1)])


def test_the_terms_are_the_likelihood_and_half_the_mean_square_of_every_block():
    flow = Flow(chain()).eval()
    first, second, _ = flow.bijection.blocks
    g1 = first.net(0.0, X)
    g2 = second.net(0.0, X + g1)
    terms = ResidualObjective(flow.bijection, 0.3)(X, generator()).terms
    assert list(terms) == ["nll", "movement"]
    torch.testing.assert_close(terms["nll"], -flow.log_prob(X).mean())
    torch.testing.assert_close(terms["movement"], 0.3 * 0.5 * (g1.square() + g2.square()).sum(1).mean())


def test_the_generator_decides_the_probes_of_the_series():
    objective = ResidualObjective(chain(terms=4).train(), 0.1)
    first, same, other = (objective(X, generator(seed)).total for seed in (1, 1, 2))
    assert first == same and first != other


@pytest.mark.parametrize("gamma", [-0.1, float("nan")])
def test_the_price_must_not_be_negative(gamma):
    with pytest.raises(InputError, match="gamma is"):
        ResidualObjective(chain(), gamma)


def test_a_jko_block_towards_a_labelled_target():
    """potential + volume is the NLL of the flow that ends with the target, up to what no block changes."""
    target = LabelledShift(1)
    block = ODEBijection(randomised(MLP(3, (6,), "silu").double(), 0.3), FixedGrid(3)).eval()
    terms = JKOObjective(block, 0.5, target.potential)(X).terms
    z, log_det = Chain(3, [block, target]).forward_and_log_det(X)
    torch.testing.assert_close(terms["potential"], 0.5 * z[:, :2].square().sum(1).mean())
    torch.testing.assert_close(terms["volume"], -log_det.mean() - 2 * torch.tensor(target.sigma).double().log())
    plain = JKOObjective(block, 0.5)(X).terms
    assert plain["movement"] == terms["movement"] and plain["potential"] != terms["potential"]
