"""The baseline of the implicit step computes what ours computes, the way that its paper describes; nothing is timed."""

import pytest
import torch
from benchmarks import broyden_flow, implicit_step
from benchmarks.broyden_flow import (
    BroydenBlock,
    SpectralLinear,
    broyden,
    brute_force,
    fixed_point,
    iterate_norms,
    spectral_net,
)
from benchmarks.implicit_step import SIDES, baseline, new_blocks, ours
from benchmarks.settings import Settings
from torch import nn

from cases import normal, randomised
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import LipschitzMLP
from pushforward.objectives import LikelihoodObjective
from pushforward.report.results import read_rows


def blocks(count=2, scale=1.0):
    """Blocks in float64 far from the identity, all of whose layers reach their bound."""
    nets = [randomised(LipschitzMLP(2, (8,), "sin", 0.9), scale, seed).double() for seed in range(2 * count)]
    made = [ImplicitBlock(*pair) for pair in zip(nets[::2], nets[1::2], strict=True)]
    for net in nets:
        net.update_norms()
    return made


@torch.no_grad()
def norm(layer, dim):
    """The spectral norm of a linear layer as it acts on R^dim."""
    return float(torch.linalg.matrix_norm(layer(torch.eye(dim).double()) - layer.bias, 2))


@pytest.fixture
def tight(monkeypatch):
    monkeypatch.setattr(broyden_flow, "FORWARD", 1e-13)
    monkeypatch.setattr(broyden_flow, "BACKWARD", 1e-13)


def test_both_sides_have_the_same_loss_and_gradients(tight):
    x, made = normal(40, 2), blocks()
    mine, theirs = ours(made).chain, baseline(made).chain
    losses = [LikelihoodObjective(chain)(x, torch.Generator()).total for chain in (mine, theirs)]
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9)
    for loss in losses:
        loss.backward()
    for block, other in zip(mine.blocks, theirs.blocks, strict=True):
        for net, spectral in ((block.g_x, other.g_x), (block.g_z, other.g_z)):
            for layer, copied in zip(net.layers, spectral[::2], strict=True):
                weight = layer.parametrizations.weight.original
                assert weight.grad.abs().max() > 1e-4
                torch.testing.assert_close(copied.weight.grad, weight.grad, rtol=1e-6, atol=1e-8)
                torch.testing.assert_close(copied.bias.grad, layer.bias.grad, rtol=1e-6, atol=1e-8)


def test_the_baseline_inverts_itself(tight):
    chain, x = baseline(blocks()).chain, normal(9, 2)
    torch.testing.assert_close(chain.inverse(chain(x)), x, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dim", [1, 3])
def test_broyden_solves_a_linear_system(dim):
    matrix = 0.6 * torch.linalg.qr(normal(dim, dim))[0]
    right = normal(5, dim, seed=1)
    z, steps = broyden(lambda y: right - y @ matrix.T - y, torch.zeros(5, dim).double(), 1e-12)
    expected = torch.linalg.solve(torch.eye(dim).double() + matrix, right.T).T
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-10)
    assert steps <= 2 * dim + 1  # Gay's theorem: at most 2 d steps, and one that sees that it is done


def test_broyden_steps_are_those_of_the_formula(monkeypatch):
    """Against B as a dense matrix, one row alone."""
    monkeypatch.setattr(broyden_flow, "STEPS", 4)
    matrix, right = 0.8 * torch.linalg.qr(normal(5, 5))[0], normal(1, 5, seed=1)

    def residual(y):
        return right - torch.sin(y) @ matrix.T - y

    z, b = torch.zeros(5).double(), -torch.eye(5).double()
    f = residual(z[None])[0]
    seen = [(float(f.norm()), z)]
    for _ in range(4):
        new = z - b @ f
        moved, change = new - z, residual(new[None])[0] - f
        b = b + torch.outer(moved - b @ change, moved @ b) / (moved @ b @ change)
        z, f = new, f + change
        seen.append((float(f.norm()), z))
    expected = min(seen, key=lambda pair: pair[0])[1]
    found, steps = broyden(residual, torch.zeros(1, 5).double(), 1e-14)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)
    assert steps == 4 and not torch.equal(expected, torch.zeros(5).double())


def test_broyden_stops_on_the_batch_and_not_on_its_rows():
    """The root mean square of many good rows hides a bad one: why the library certifies every row."""
    right = torch.cat([torch.zeros(9999, 1), torch.ones(1, 1)]).double()
    z, steps = broyden(lambda y: right - 0.5 * y - y, torch.zeros(10_000, 1).double(), 2e-2)
    assert steps == 0 and z[-1] == 0


def test_a_nan_ends_the_iteration_with_the_best_point():
    seen = []

    def residual(z):
        seen.append(z)
        return torch.full_like(z, torch.nan) if len(seen) > 2 else 1 - 1.5 * z

    z, steps = broyden(residual, torch.zeros(1, 1), 1e-12)
    assert steps == 2 and torch.equal(z, seen[1])


def test_a_residual_that_blows_up_goes_to_the_fixed_point():
    calls = []

    def residual(z):
        calls.append(1)
        return z + 1e9 if len(calls) == 2 else 0.5 - z

    z, steps = broyden(residual, torch.zeros(3, 2), 1e-3)
    torch.testing.assert_close(z, torch.full((3, 2), 0.5))
    assert steps == 0


def test_the_fixed_point_stops_on_squared_steps():
    z = fixed_point(lambda y: 1 - 1.5 * y, torch.zeros(1, 1).double(), 1e-4)  # y ← 1 − y/2
    error = abs(float(z) - 2 / 3)
    assert 1e-3 < error < 1e-2  # the step is below 1e-2, and not below 1e-4


def test_brute_force_is_the_log_determinant():
    g = spectral_net(randomised(LipschitzMLP(3, (8,), "sin", 0.9)).double())
    x = normal(6, 3).requires_grad_()
    jacobians = torch.func.vmap(torch.func.jacrev(lambda row: g(row[None])[0]))(x)
    torch.testing.assert_close(brute_force(g, x), torch.logdet(jacobians + torch.eye(3)), rtol=1e-12, atol=1e-12)


def test_power_iterations_find_the_norm():
    layer = SpectralLinear(normal(6, 4), normal(6), 0.9)
    assert norm(layer, 4) == pytest.approx(0.9, rel=1e-8)
    small = SpectralLinear(0.01 * normal(6, 4), normal(6), 0.9)
    torch.testing.assert_close(small(torch.eye(4).double()) - small.bias, small.weight.T)


def test_copies_are_renewed_and_hidden_from_the_optimiser(tight):
    (block,) = baseline(blocks(1)).chain.blocks
    own = [p for net in (block.g_x, block.g_z) for p in net.parameters()]
    assert [id(p) for p in block.parameters()] == [id(p) for p in own]
    with torch.no_grad():
        for seed, parameter in enumerate(own):
            parameter.add_(normal(*parameter.shape, seed=seed))
    for _ in range(20):
        iterate_norms([block])
    x = normal(4, 2).requires_grad_()
    mine = torch.autograd.grad(block(x).sum(), x)[0]
    steps = [1e-6 * row for row in torch.eye(2).double()]
    central = torch.stack([(block(x + h) - block(x - h)).sum(1) / 2e-6 for h in steps], 1)
    torch.testing.assert_close(mine, central, rtol=1e-6, atol=1e-6)  # its Jacobian is that of the new weights
    torch.testing.assert_close(block.inverse(block(x)), x)
    assert all(block.steps.values())


def test_training_changes_every_layer_of_both_sides():
    points, made = normal(600, 2, dtype=torch.float32), new_blocks(0)[:1]
    for side in SIDES.values():
        chain = side(made).chain
        before = [p.detach().clone() for p in chain.parameters()]
        trained = implicit_step.Side(chain, side(made).after_step).train(points, 1, 0)
        assert trained > 0 and all(not torch.equal(p, b) for p, b in zip(chain.parameters(), before, strict=True))


def test_norms_are_renewed_after_a_step():
    for side in (ours(blocks(1)), baseline(blocks(1))):
        with torch.no_grad():
            for parameter in side.chain.parameters():
                parameter.copy_(normal(*parameter.shape, seed=7) if parameter.ndim == 2 else parameter)
        for _ in range(20):
            side.after_step()
        (block,) = side.chain.blocks
        for net in (block.g_x, block.g_z):
            layer = net.layers[0] if isinstance(net, LipschitzMLP) else net[0]
            assert norm(layer, 2) == pytest.approx(0.9, rel=1e-6)


def test_rows_of_the_implicit_step(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path))
    monkeypatch.setattr(implicit_step, "WIDTHS", (4,))
    times = {BroydenBlock: 0.3, ImplicitBlock: 0.1}
    monkeypatch.setattr(implicit_step.Side, "train", lambda side, *_, **__: times[type(side.chain.blocks[0])])
    implicit_step.run(Settings(rounds=1, points=50, held_out=10), say=lambda line: None)
    found = read_rows(tmp_path / "bench" / "implicit-step.csv")
    rows = {row.id.removeprefix("bench/implicit-checkerboard/"): row for row in found}
    assert {id: row.value for id, row in rows.items()} == {
        f"{side}/step-time{suffix}": value
        for suffix in ("", "-trained")
        for side, value in {"ours-vs-broyden-brute-force": 3.0, "broyden-brute-force": 0.3, "ours": 0.1}.items()
    }
    assert {row.n for row in rows.values()} == {implicit_step.TURNS}


def test_the_likelihood_is_that_of_the_chain():
    x = normal(30, 2)
    loss = LikelihoodObjective(Chain(2))(x, torch.Generator()).total
    torch.testing.assert_close(loss, 0.5 * x.square().sum(1).mean() + torch.log(torch.tensor(2 * torch.pi)).double())
    assert isinstance(new_blocks(1)[0].g_x, nn.Module) and len(new_blocks(1)) == implicit_step.BLOCKS
