import pytest
import torch
from torch.nn.functional import batch_norm, conv2d

from cases import normal
from pushforward.classification import METHODS, Classifier, ClassifierNet

SMALL = {"stages": ((3, 3), (3, 4), (4, 5))}


def network(method="impflow", shape=(1, 6, 6), classes=3, seed=0, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ClassifierNet(Classifier(method=method, **{**SMALL, **settings}), shape, classes)


def size(net):
    return sum(p.numel() for p in net.parameters())


def expected_size(stages, channels, classes, biases):
    """Stem with its normalisation, two networks a stage, reductions from the second stage on, head; as the paper."""
    total = 9 * channels * stages[0][0] + 2 * stages[0][0]
    for index, (into, hidden) in enumerate(stages):
        total += 2 * (2 * 9 * into * hidden + biases * (into + hidden))
        if index:
            total += into * hidden + 2 * hidden
    last = stages[-1][1] if len(stages) > 1 else stages[-1][0]
    return total + (last + 1) * classes


@pytest.mark.parametrize("method", METHODS)
def test_parameters_are_counted_by_hand(method):
    # A batch normalisation has a scale and a shift where a bounded convolution has a bias alone.
    stages = Classifier(**SMALL).stages
    assert size(network(method)) == expected_size(stages, 1, 3, biases=2 if method == "vanilla" else 1)


def test_the_published_network_has_six_and_a_half_million_parameters():
    vanilla = ClassifierNet(Classifier(method="vanilla"), (3, 32, 32), 10)
    assert size(vanilla) == expected_size(Classifier().stages, 3, 10, biases=2) == 6_527_306
    assert expected_size(Classifier().stages, 3, 10, biases=1) == 6_524_362


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shape", "stride"), [((1, 6, 6), 1), ((2, 5, 7), 1), ((1, 8, 8), 2), ((1, 7, 7), 2)])
def test_scores_of_every_image(method, shape, stride):
    net = network(method, shape, stem_stride=stride).eval()
    x = normal(4, shape[0] * shape[1] * shape[2], dtype=torch.float32)
    scores = net(x)
    assert scores.shape == (4, 3)
    one_by_one = torch.cat([net(row[None]) for row in x])
    assert torch.allclose(scores, one_by_one, atol=1e-5)


def test_without_blocks_it_is_stem_reductions_mean_and_head():
    net = network("impflow").double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "bijection" in name:
                parameter.zero_()
    x = normal(6, 36)

    def layer(a, conv, padding, stride):
        out = conv2d(a, conv.weight, padding=padding, stride=stride)
        return batch_norm(out, None, None, training=True, eps=1e-5).relu()

    convs = [part for part in net.body if isinstance(part, torch.nn.Conv2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [(3, 1, 3, 3), (4, 3, 1, 1), (5, 4, 1, 1)]
    a = layer(x.view(6, 1, 6, 6), convs[0], 1, 1)
    a = layer(layer(a, convs[1], 0, 2), convs[2], 0, 2)
    assert a.shape == (6, 5, 2, 2)
    expected = a.mean((2, 3)) @ net.head.weight.T + net.head.bias
    assert torch.allclose(net(x), expected, rtol=0, atol=1e-12)


def test_implicit_blocks_solve_and_the_others_do_not():
    x = normal(4, 36, dtype=torch.float32)
    for method, solves in (("impflow", 3 * 4), ("resflow", 0)):
        net = network(method)
        net(x)
        blocks = [part.bijection for part in net.body if hasattr(part, "bijection")]
        assert len(blocks) == (3 if method == "impflow" else 6)
        assert sum(block.audits["forward"].solves for block in blocks) == solves
