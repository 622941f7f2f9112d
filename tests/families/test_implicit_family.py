import pytest
import torch

import pushforward as pf
from cases import normal, split_of, walk
from killed import killed_and_whole
from pushforward import experiment
from pushforward.errors import InputError
from pushforward.families import Family, Implicit
from pushforward.families.implicit import audit
from pushforward.fit import FitConfig
from pushforward.flows import ActNorm, Affine, ImplicitBlock
from pushforward.implicit import Broyden, Exact, Lipschitz, Newton, Roulette
from pushforward.metrics import integral
from pushforward.objectives import LikelihoodObjective

SMALL = {"kind": "mlp", "widths": (8,), "activation": "sin", "coeff": 0.95}
FIT = FitConfig(iterations=30, batch=100, lr=0.01, ema=0.9, validate_every=10)
X = torch.cat([normal(300, 2, seed=1) * 0.3 + 1, normal(300, 2, seed=2) * 0.3 - 1])  # two clusters


pytestmark = pytest.mark.usefixtures("artifacts")


def still(stage):
    """Train nothing."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "iresnet"}, r"kind 'iresnet' is unknown, .*\['impflow', 'inverse-resflow', 'resflow'\]"),
        ({"blocks": 0}, "blocks is 0"),
        ({"pool": 0}, "pool is 0"),
        ({"spread": 0.0}, "spread is 0.0"),
        ({"power_iterations": -1}, "power_iterations is -1"),
        ({"net": {"kind": "lattice"}}, "is 'lattice', expected one of"),
        ({"net": {"kind": "mlp", "coeff": 1.0}}, "coeff is 1.0"),
        ({"net": {"kind": "mlp", "width": 3}}, "does not know"),
        ({"solver": {"kind": "secant"}}, "is 'secant'"),
        ({"log_det": {"kind": "hutchinson"}}, "is 'hutchinson'"),
        ({"precondition": ("spline",)}, r"precondition \['spline'\] is unknown"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Implicit(**settings)


def test_settings_leave_the_global_stream_alone():
    before = torch.get_rng_state()
    Implicit(net=SMALL)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("kind", "present"), [("impflow", (True, True)), ("resflow", (True, False)), ("inverse-resflow", (False, True))]
)
def test_the_kind_says_which_networks_a_block_has(kind, present):
    family = Implicit(kind, blocks=3, net=SMALL, precondition=("affine",))
    assert isinstance(family, Family)
    flow, history = walk(family, split_of(X), still)
    first, *blocks = flow.bijection.blocks
    assert isinstance(first, Affine) and len(blocks) == 3
    assert all((b.g_x is not None, b.g_z is not None) == present for b in blocks)
    assert [row["stage"] for row in history.stages] == ["start", "flow"]


def test_an_implicit_flow_has_the_parameters_of_a_residual_flow_of_twice_the_blocks():
    counts = []
    for kind, blocks in (("impflow", 4), ("resflow", 8)):
        flow, _ = walk(Implicit(kind, blocks, precondition=()), split_of(X.float()), still)
        counts.append(sum(p.numel() for p in flow.parameters()))
    assert counts == [137_232, 137_232]  # the paper's count


def test_actnorm_stands_before_the_first_block_and_after_every_one():
    flow, _ = walk(Implicit(blocks=2, net=SMALL, actnorm=True, precondition=()), split_of(X), still)
    assert [type(b) for b in flow.bijection.blocks] == [ActNorm, ImplicitBlock, ActNorm, ImplicitBlock, ActNorm]


def test_all_norms_but_the_last_spread_the_data():
    family = Implicit(blocks=2, net=SMALL, actnorm=True, spread=5.0, precondition=())
    flow, _ = walk(family, split_of(X), lambda stage: stage.module(stage.points))
    norms = [b for b in flow.bijection.blocks if isinstance(b, ActNorm)]
    assert [n.spread for n in norms] == [5.0, 5.0, 1.0]
    with torch.no_grad():
        torch.testing.assert_close(norms[0](X).std(0, correction=0), torch.full((2,), 5.0).double())
        torch.testing.assert_close(flow.bijection(X).std(0, correction=0), torch.ones(2).double())


def test_solver_and_estimator_are_those_named():
    settings = {"log_det": {"kind": "roulette", "exact_terms": 3}, "solver": {"kind": "broyden", "memory": 4}}
    block = Implicit(net=SMALL, **settings).block(dim=2)
    assert block.solver == Broyden(memory=4) and block.log_det == Roulette(exact_terms=3)
    block = Implicit(net=SMALL).block(dim=2)
    assert block.solver == Newton() and block.log_det == Exact()


def test_training_lowers_the_likelihood_loss_and_ends_with_a_density():
    flow, history = pf.train(Implicit(blocks=2, net=SMALL, actnorm=True, fit=FIT), X, seed=1)
    start, end = (row["val_nll"] for row in history.stages)
    assert end < start - 0.1
    held_out = pf.Split.from_points(X, 1).val
    assert end == pytest.approx(-flow.log_prob(held_out).mean().item(), abs=1e-9)
    assert integral(flow, ((-8.0, 8.0), (-8.0, 8.0)), 400) == pytest.approx(1, abs=1e-3)
    assert [row["validation"] for row in history.fits["flow"].rows if "validation" in row][-1] == pytest.approx(end)


def test_the_norms_are_those_of_the_weights_at_every_step_and_at_the_end(monkeypatch):
    seen = []

    def watched(self, x, random):
        seen.extend(gap(part) for part in self.bijection.modules() if isinstance(part, Lipschitz))
        return likelihood(self, x, random)

    likelihood = LikelihoodObjective.__call__
    monkeypatch.setattr(LikelihoodObjective, "__call__", watched)
    flow, _ = pf.train(Implicit(blocks=1, net={**SMALL, "coeff": 0.5}, fit=FIT), X)
    assert len(seen) == 30 * 2 and max(seen) < 1e-6
    assert max(gap(part) for part in flow.modules() if isinstance(part, Lipschitz)) < 1e-6


def gap(net):
    """How far the largest layer is above its bound."""
    return max(float(torch.linalg.svdvals(layer.weight.detach().double())[0]) for layer in net.layers) - 0.5


def test_the_last_stage_has_the_audit_of_all_solves():
    flow, history = pf.train(Implicit(blocks=2, net=SMALL, fit=FIT), X)
    row, total = history.stages[-1], audit(flow.bijection)
    forward_and_backward = 2 * 2 * FIT.iterations * FIT.batch
    validations = 2 * 60 * (3 + 1)  # of 60 points, three on the way and one at the end
    assert row["solves"] == total.solves == forward_and_backward + validations
    assert row["unconverged"] == 0 and 0 < row["worst"] <= 1e-6 and row["iterations"] > 0


def test_the_audit_is_remembered_with_the_flow():
    family = Implicit(blocks=1, net=SMALL, fit=FIT)
    first = experiment.train_once("case", family, X)
    again = experiment.train_once("case", family, X)
    assert again.history == first.history and again.key == first.key
    assert audit(again.flow.bijection) == audit(first.flow.bijection)
    with torch.no_grad():
        torch.testing.assert_close(again.flow.log_prob(X), first.flow.log_prob(X), rtol=0, atol=0)


def test_a_killed_training_ends_with_the_same_numbers(tmp_path):
    family = Implicit(blocks=1, net=SMALL, fit=FitConfig(iterations=12, batch=50, ema=0.9, checkpoint_seconds=0))
    (killed, _), (whole, _) = killed_and_whole(family, split_of(X), tmp_path / "state.safetensors")
    with torch.no_grad():
        assert torch.equal(killed.log_prob(X[:50]), whole.log_prob(X[:50]))
    assert audit(killed.bijection).solves == audit(whole.bijection).solves


def test_looking_on_the_way_changes_no_number():
    settings = {"blocks": 1, "net": SMALL, "power_iterations": 2}
    flows = []
    for every in (0, 3):
        config = FitConfig(iterations=15, batch=50, lr=0.02, ema=0.9, validate_every=every)
        flows.append(pf.train(Implicit(**settings, fit=config), X)[0])
    with torch.no_grad():
        assert torch.equal(flows[0].log_prob(X), flows[1].log_prob(X))


def test_an_estimated_validation_is_the_same_every_time():
    wide = normal(40, 66)
    family = Implicit(
        blocks=1, net=SMALL, log_det={"kind": "roulette"}, precondition=(), fit=FitConfig(iterations=2, batch=20)
    )
    values = [pf.train(family, wide)[1].stages[-1]["val_nll"] for _ in range(2)]
    assert values[0] == values[1]


def test_bfloat16_is_refused():
    with pytest.raises(InputError, match="fit.bf16 is True, expected False"):
        Implicit(fit=FitConfig(bf16=True))
