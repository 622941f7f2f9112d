import pytest
import torch

import pushforward as pf
from cases import PATH_GRAPH, generator, normal, split_of, walk
from killed import killed_and_whole
from pushforward import experiment
from pushforward.errors import InputError, NotInvertible
from pushforward.families import IGNN, Family, TrainingHistory
from pushforward.fit import FitConfig, FitHistory
from pushforward.flows import LabelledShift, ResidualBlock, log_prob_given_labels, sample_given_labels
from pushforward.metrics import integral, round_trip

SMALL = {"kind": "mlp", "widths": (16,), "activation": "tanh"}
FIT = FitConfig(iterations=120, batch=200, lr=0.01)
X = torch.cat([normal(300, 2, seed=1) * 0.3 + 1, normal(300, 2, seed=2) * 0.3 - 1])  # two clusters
TARGET = {"kind": "labelled-shift", "nodes": 3}
GRAPH = {"kind": "chebyshev", "adjacency": PATH_GRAPH, "widths": (8, 8), "labels": True}


pytestmark = pytest.mark.usefixtures("artifacts")


def still(stage):
    """Train nothing."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 0}, "blocks is 0"),
        ({"pool": 0}, "pool is 0"),
        ({"gamma": -1.0}, "gamma=-1.0"),
        ({"terms": -1}, "terms=-1"),
        ({"net": {"kind": "conv"}}, "net is {'kind': 'conv'}, expected a dict whose kind is one of"),
        ({"precondition": ("spline",)}, r"precondition \['spline'\] is unknown"),
        ({"target": TARGET}, r"precondition is \('affine',\) beside a target, expected \(\)"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        IGNN(**settings)


def test_settings_that_only_the_data_can_judge():
    with pytest.raises(InputError, match="'width': 3} has a setting that 'mlp' does not know"):
        IGNN(net={"kind": "mlp", "width": 3}).block(2)
    with pytest.raises(InputError, match="points have dimension 2, expected 9"):
        walk(IGNN(net=SMALL, target=TARGET, precondition=()), split_of(X), still)
    with pytest.raises(InputError, match="the network is a MLP, expected one that leaves the labels of 3 nodes"):
        walk(IGNN(net=SMALL, target=TARGET, precondition=()), split_of(normal(20, 9)), still)


@pytest.mark.parametrize(
    ("dim", "terms", "expected"), [(2, None, 0), (32, None, 0), (33, None, 10), (33, 0, 0), (2, 4, 4)]
)
def test_the_log_determinant_suits_the_dimension(dim, terms, expected):
    assert IGNN(net=SMALL, terms=terms).block(dim).terms == expected


def test_an_untrained_flow_is_what_its_preconditioners_are():
    family = IGNN(blocks=3, net=SMALL)
    assert isinstance(family, Family) and family.name == "ignn"
    flow, history = walk(family, split_of(X), still)
    start, end = history.stages
    assert end["val_nll"] == pytest.approx(start["val_nll"], abs=1e-12)
    assert sum(isinstance(part, ResidualBlock) for part in flow.bijection.modules()) == 3


def test_training_ends_with_a_density_that_can_be_inverted(tmp_path):
    family = IGNN(blocks=3, net=SMALL, gamma=5.0, fit=FIT)
    flow, history = pf.train(family, X, seed=1)
    start, end = (row["val_nll"] for row in history.stages)
    assert end < start - 0.05
    assert integral(flow, ((-5.0, 5.0), (-5.0, 5.0)), 200) == pytest.approx(1, abs=1e-2)
    assert round_trip(flow, X).max_abs < 1e-10
    row = history.stages[-1]
    assert (row["minibatches"], row["evaluations"]) == (120, 360) and row["seconds"] > 0
    again = pf.load(flow.save(tmp_path / "flow"))
    with torch.no_grad():
        assert torch.equal(again.log_prob(X), flow.log_prob(X))


def test_a_larger_price_moves_less():
    moved = []
    for gamma in (0.0, 5.0):
        flow, _ = pf.train(IGNN(blocks=2, net=SMALL, gamma=gamma, fit=FIT), X)
        with torch.no_grad():
            white = flow.bijection.blocks[0](X)
            moved.append(float((flow.bijection(X) - white).square().sum(1).mean()))
    assert moved[1] < 0.5 * moved[0]


def test_a_flow_that_folds_on_held_out_points_is_kept_without_a_level():
    def fold(stage):
        with torch.no_grad():
            block = next(part for part in stage.module.modules() if isinstance(part, ResidualBlock))
            block.net.layers[0].weight.copy_(torch.eye(16, 2))
            block.net.layers[1].weight.copy_(-3 * torch.eye(2, 16))

    flow, history = walk(IGNN(blocks=1, net=SMALL), split_of(X), fold)
    assert history.stages[-1]["val_nll"] is None
    with pytest.raises(NotInvertible, match="the residual block folds"):
        flow.eval().log_prob(X)


@pytest.mark.parametrize(("terms", "passes"), [(0, 1), (4, 2)])  # the series is a second pass
def test_evaluations_are_those_of_the_fit(terms, passes):
    chosen, split, history = IGNN(blocks=2, net=SMALL, terms=terms, fit=FIT), split_of(X), TrainingHistory()
    for stage in chosen.stages(chosen.build(split), split, history, 0):
        history.fits[stage.name] = FitHistory(iterations=3)  # fewer than the settings say
    assert history.stages[-1]["minibatches"] == 3
    assert history.stages[-1]["evaluations"] == 2 * 3 * passes


def test_on_a_graph_the_labels_choose_the_target():
    labels = torch.randint(2, (600, 3), generator=generator(1)).double()
    features = (normal(600, 6, seed=2) * 0.5 + (2 * labels - 1).repeat_interleave(2, 1)).float()
    points = torch.cat([features, labels.float()], 1)
    family = IGNN(
        blocks=2, net=GRAPH, target=TARGET, precondition=(), fit=FitConfig(iterations=100, batch=200, lr=0.02)
    )
    flow, history = pf.train(family, points)
    assert isinstance(flow.bijection.blocks[-1], LabelledShift)
    wanted = (torch.tensor([[1.0, 0.0, 1.0]])).expand(200, -1)
    drawn = sample_given_labels(flow, wanted, generator())
    assert torch.equal(drawn[:, 6:], wanted)
    torch.testing.assert_close(drawn[:, :6].mean(0), 2 * wanted[0].repeat_interleave(2) - 1, rtol=0, atol=0.2)
    torch.testing.assert_close(drawn[:, :6].std(0), torch.full((6,), 0.5), rtol=0, atol=0.1)
    with torch.no_grad():
        found = float(log_prob_given_labels(flow, points, 3).mean())
    law = torch.distributions.Normal((2 * labels - 1).repeat_interleave(2, 1), 0.5)
    truth = float(law.log_prob(features).sum(1).mean())  # of these very points: no noise of the sample is between them
    assert abs(found - truth) < 0.15


def test_a_killed_training_ends_with_the_same_numbers(tmp_path):
    config = FitConfig(iterations=12, batch=50, ema=0.9, checkpoint_seconds=0)
    family = IGNN(blocks=2, net=SMALL, terms=3, fit=config)
    (killed, _), (whole, _) = killed_and_whole(family, split_of(X), tmp_path / "state.safetensors")
    with torch.no_grad():
        assert torch.equal(killed.bijection(X), whole.bijection(X))


def test_the_answer_is_remembered():
    family = IGNN(blocks=1, net=SMALL, fit=FitConfig(iterations=5, batch=50))
    first, again = (experiment.train_once("case", family, X) for _ in range(2))
    assert again.history == first.history and again.key == first.key
    with torch.no_grad():
        assert torch.equal(again.flow.log_prob(X), first.flow.log_prob(X))
