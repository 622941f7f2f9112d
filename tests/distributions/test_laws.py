"""What holds for every law: it integrates to one, its entropy is the mean of −log p, shapes, dtypes, seeds, errors."""

import math
from functools import lru_cache

import pytest
import torch

from pushforward import distributions
from pushforward.distributions import GaussianMixture, base, by_name, names, standard_normal
from pushforward.errors import InputError

EXTRA = {
    "normal-2d": lambda: standard_normal(2),
    "mixture-2d": lambda: GaussianMixture(
        [1.0, 3.0], [[-1.0, 0.0], [1.0, 0.5]], covariances=[[[1.0, 0.3], [0.3, 0.4]], [[0.5, -0.2], [-0.2, 0.9]]]
    ),
}
ALL = [*names(), *EXTRA]
IMAGES = {"rose", "fractal-tree"}


@lru_cache
def law(name):
    return EXTRA[name]() if name in EXTRA else by_name(name)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def midpoints(low, high, spacing):
    return torch.arange(low + spacing / 2, high, spacing, dtype=torch.float64)


@pytest.mark.parametrize("name", ALL)
def test_density_integrates_to_one(name):
    """Midpoint rule, spectrally exact here; squares of side 2 hold whole numbers of cells of side 0.1."""
    box, spacing = [(-6.0, 6.0)] * 2, 0.1 if name == "checkerboard" else 0.06
    if name in IMAGES:  # 1.3 standard deviations of a pixel; the box reaches 9 of them beyond the outermost draws
        x = law(name).sample(20_000, rng(), torch.float64)
        box = torch.stack([x.amin(0) - 0.16, x.amax(0) + 0.16], 1).tolist()
        spacing = 0.0205
    log_p = law(name).log_prob(torch.cartesian_prod(*(midpoints(*side, spacing) for side in box)))
    assert log_p.exp().sum().item() * spacing**2 == pytest.approx(1.0, abs=2e-5 if name in IMAGES else 1e-7)


@pytest.mark.parametrize("name", ALL)
def test_entropy_is_the_mean_surprise(name):
    p = law(name)
    value, error = p.entropy()
    assert 0 <= error < 1e-6
    surprise = -p.log_prob(p.sample(20_000, rng(), torch.float64))
    assert abs(surprise.mean() - value) <= 4 * surprise.std() / math.sqrt(20_000) + 1e-12


@pytest.mark.parametrize("name", ALL)
def test_entropy_is_computed_once(name):
    p = law(name)
    assert p.entropy() is p.entropy()


@pytest.mark.parametrize("name", ALL)
def test_dtypes_shapes_and_seeds(name):
    p = law(name)
    single, double = p.sample(1000, rng(1)), p.sample(1000, rng(1), torch.float64)
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    assert single.shape == (1000, p.dim) == (1000, 2)
    assert torch.equal(single, double.float())  # same generator, same points, whatever the dtype
    assert torch.equal(double, p.sample(1000, rng(1), torch.float64))
    assert not torch.equal(double, p.sample(1000, rng(2), torch.float64))
    assert p.log_prob(single).dtype == torch.float32 and p.log_prob(double).dtype == torch.float64
    assert p.log_prob(double).shape == (1000,)
    assert torch.equal(p.log_prob(single), p.log_prob(single.double()).float())


@pytest.mark.parametrize("name", ALL)
def test_all_but_the_checkerboard_have_scores(name):
    """The gradient of log p agrees with central differences, near the law and far from it."""
    p = law(name)
    if name == "checkerboard":
        inside = torch.tensor([[0.5, 0.5], [-1.0, -1.0]])
        assert torch.equal(p.log_prob(inside), torch.full((2,), -math.log(32)))  # flat: nothing to differentiate
        return
    x = torch.cat([p.sample(20, rng(3), torch.float64), torch.tensor([[3.3, 3.9], [-7.0, 5.0]], dtype=torch.float64)])
    x.requires_grad_()
    (score,) = torch.autograd.grad(p.log_prob(x).sum(), x)
    step = 1e-5
    for axis in (0, 1):
        e = step * torch.eye(2, dtype=torch.float64)[axis]
        difference = (p.log_prob(x.detach() + e) - p.log_prob(x.detach() - e)) / (2 * step)
        assert torch.allclose(score[:, axis], difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_chunks_do_not_change_the_density(name, monkeypatch):
    p = law(name)
    x = torch.cat([p.sample(50, rng(4), torch.float64), torch.tensor([[9.0, 9.0]], dtype=torch.float64)])
    whole = p.log_prob(x)
    monkeypatch.setattr(base, "CHUNK", 3 * p._width)
    assert torch.allclose(p.log_prob(x), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_every_single_precision_draw_has_positive_density(name):
    p = law(name)
    assert torch.isfinite(p.log_prob(p.sample(20_000, rng(5)))).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", ALL)
def test_device_follows_the_points(name):
    p = law(name)
    x = torch.cat([p.sample(100, rng(6), torch.float64), torch.tensor([[9.0, 9.0]], dtype=torch.float64)])
    on_gpu = p.log_prob(x.cuda())
    assert on_gpu.device.type == "cuda"
    assert torch.allclose(on_gpu.cpu(), p.log_prob(x), rtol=1e-9, atol=1e-9)


def test_bad_calls_are_named():
    p = by_name("rings")
    with pytest.raises(InputError, match="positive integer"):
        p.sample(0)
    with pytest.raises(InputError, match="positive integer"):
        p.sample(2.5)
    with pytest.raises(InputError, match="floating"):
        p.sample(5, dtype=torch.int64)
    with pytest.raises(InputError, match=r"\(3, 3\).*\(n, 2\)"):
        p.log_prob(torch.zeros(3, 3))
    with pytest.raises(InputError, match="NaN"):
        p.log_prob(torch.tensor([[0.0, math.nan]]))


def test_names_and_constructors_agree():
    assert set(names()) == {
        "rose", "fractal-tree", "checkerboard", "8-gaussians", "rings", "two-spirals", "moons", "pinwheel", "swiss-roll"
    }  # fmt: skip
    for name in names():
        constructor = getattr(distributions, name.replace("8-", "eight-").replace("-", "_"))
        assert by_name(name).name == constructor().name == name
    assert distributions.rose() is distributions.rose()
    assert distributions.fractal_tree() is by_name("fractal-tree")


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="'tulip'.*rose, fractal-tree, checkerboard"):
        by_name("tulip")


def test_pick_follows_the_weights():
    weights = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
    share = base.pick(weights, 40_000, rng(7)).bincount(minlength=3) / 40_000
    expected = weights / 8
    assert ((share - expected).abs() < 4 * (expected * (1 - expected) / 40_000).sqrt()).all()
