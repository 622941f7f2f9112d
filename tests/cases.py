"""One tiny instance of every bijection, and small tools that several tests share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.datasets import Split
from pushforward.datasets.preprocessing import Scale
from pushforward.distributions import GaussianMixture
from pushforward.families import Family, Stage, TrainingHistory
from pushforward.fit import FitHistory
from pushforward.flows import (
    ActNorm,
    Affine,
    Bijection,
    Chain,
    Flow,
    ImplicitBlock,
    LabelledShift,
    Logit,
    ODEBijection,
    Radial,
    ResidualBlock,
    Squeeze,
    ZukoFlow,
)
from pushforward.implicit import LipschitzMLP
from pushforward.interpolation import InterpolationVelocity, MixtureInterpolation, by_name
from pushforward.nets import MLP, ChebyshevNet, Gated, Lattice, Potential, TimeLattice
from pushforward.numerics import Adaptive, FixedGrid


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def student(n: int, dim: int, freedom: float = 4.0, seed: int = 0) -> Tensor:
    """A heavy-tailed elliptical law: a normal draw over the root of a chi-square draw, then sheared."""
    chi2 = normal(n, int(freedom), seed=seed + 1).square().sum(1, keepdim=True)
    shear = torch.eye(dim, dtype=torch.float64) + 0.5 * torch.ones(dim, dim, dtype=torch.float64).tril(-1)
    return normal(n, dim, seed=seed) * (freedom / chi2).sqrt() @ shear.T + 1.0


@torch.no_grad()
def randomised(module: nn.Module, scale: float = 0.5, seed: int = 0) -> nn.Module:
    """The module with every parameter drawn anew: new networks start at zero, where most mistakes are invisible."""
    random = generator(seed)
    for parameter in module.parameters():
        parameter.copy_(scale * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return module


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """∂f_i/∂x_j at every point [n, i, j], by reverse mode, one output coordinate at a time."""
    x = x.detach().requires_grad_()
    y = function(x)
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.stack(rows, 1)


class LinearVelocity(nn.Module):
    """v(x) = Ax + b, the identity at first: the field whose JKO step has a closed form."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.matrix = nn.Parameter(torch.zeros(dim, dim))
        self.offset = nn.Parameter(torch.zeros(dim))

    def settings(self) -> dict:
        return {"dim": self.dim}

    @torch.no_grad()
    def restrict_(self, start: float, end: float) -> None:
        for parameter in self.parameters():
            parameter *= end - start

    def forward(self, t: float, x: Tensor) -> Tensor:
        return x @ self.matrix.T + self.offset

    def velocity_and_jacobian(self, t: float, x: Tensor) -> tuple[Tensor, Tensor]:
        return self(t, x), self.matrix.expand(len(x), -1, -1)


class ExactPrediction(nn.Module):
    """The network that an ideal training would end with: E[target | X_t = x] of a known law, times a scalar or [n].

    Each comes from the posterior mean m = E[X_1 | x] alone, in the network's own coordinates: (t, x), or for ``angle``
    the clock 2φ/π and the point x/r of the circle, on which every schedule is the trigonometric one.
    """

    def __init__(self, law: GaussianMixture, schedule: str, prediction: str) -> None:
        super().__init__()
        self.dim, self.prediction = law.dim, prediction
        self.schedule = by_name("trigonometric" if prediction == "angle" else schedule)
        self.oracle = MixtureInterpolation(law, self.schedule)

    def forward(self, clock: Tensor | float, x: Tensor) -> Tensor:
        t = torch.as_tensor(clock, dtype=torch.float64)
        t = t if t.ndim == 0 else t[:, None]
        a, b = self.schedule.a(t), self.schedule.b(t)
        m = self.oracle.posterior_mean(clock, x)
        z = (x - b * m) / a
        a_prime = self.schedule.aa_prime(t) / a
        answers = {"denoiser": m, "noise": z, "velocity": a_prime * z + self.schedule.b_prime(t) * m}
        return answers.get(self.prediction, a * m - b * z)


def split_of(train: Tensor, held_out: Tensor | None = None) -> Split:
    """The points as a data set; validation and test points are ``held_out``, or the training points themselves."""
    held_out = train if held_out is None else held_out
    return Split(train, held_out, held_out, "points", "drawn by a test", "none needed", Scale(train.shape[1]))


def exact_moments(n: int, mean: Tensor, sd: Tensor, seed: int = 0) -> Tensor:
    """n points whose mean and (diagonal) covariance are these exactly, not only on average."""
    z = normal(n, len(mean), seed=seed)
    return mean + sd * Affine.fit(z)(z)


def minimise(stage: Stage) -> None:
    """The exact minimum on all points of a stage, by L-BFGS: no minibatch noise blurs a closed form."""
    parameters = list(stage.module.parameters())
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=200, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = stage.objective(stage.points, generator()).total
        loss.backward()
        return loss

    optimiser.step(closure)


def walk(
    family: Family, split: Split, train: Callable[[Stage], None] = minimise, seed: int = 0
) -> tuple[Flow, TrainingHistory]:
    """What ``pf.train`` does with a family, with another trainer in the place of ``fit``."""
    flow, history = family.build(split), TrainingHistory()
    for stage in family.stages(flow, split, history, seed):
        stage.module.train()
        train(stage)
        stage.module.eval()
        history.fits[stage.name] = FitHistory()
    return flow.eval(), history


@dataclass(frozen=True)
class Case:
    """``build(dtype)`` gives the bijection in evaluation mode; ``dim`` is that of its points."""

    name: str
    build: Callable[[torch.dtype], Bijection]
    dim: int
    round_trip: float  # in float64, largest coordinate error
    into: Callable[[Tensor], Tensor] = torch.clone  # the points that it is for, from normal ones

    def points(self, n: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
        return self.into(normal(n, self.dim, seed=5)).to(dtype)


def _affine(dtype: torch.dtype) -> Bijection:
    return Affine.fit(student(500, 3).to(dtype))


def _radial(dtype: torch.dtype) -> Bijection:
    return Radial.fit(student(500, 3).to(dtype), knots=12)


def _actnorm(dtype: torch.dtype) -> Bijection:
    return randomised(ActNorm(6, channels=3)).to(dtype).eval()


def _image(dtype: torch.dtype) -> Bijection:
    """What stands around the blocks of a flow on images."""
    return randomised(Chain(16, [Logit(16), ActNorm(16, 1), Squeeze((1, 4, 4)), ActNorm(16, 4)])).to(dtype).eval()


def _implicit(dtype: torch.dtype) -> Bijection:
    nets = [randomised(LipschitzMLP(3, (8, 8), "lipswish", 0.9), seed=seed) for seed in range(4)]
    blocks = [ImplicitBlock(*nets[:2]), ActNorm(3), ImplicitBlock(nets[2]), ImplicitBlock(g_z=nets[3])]
    return Chain(3, blocks).to(dtype).eval()


def _ode(velocity: nn.Module, *arguments: object, scale: float) -> Callable[[torch.dtype], Bijection]:
    return lambda dtype: ODEBijection(randomised(velocity, scale), *arguments).to(dtype)


def _adaptive(dtype: torch.dtype) -> Bijection:
    tolerance = 1e-11 if dtype == torch.float64 else 1e-7
    velocity = randomised(MLP(3, (8,), "silu", time=True))
    return ODEBijection(velocity, Adaptive(tolerance, tolerance)).to(dtype)


def _zuko(*arguments: object) -> Callable[[torch.dtype], Bijection]:
    def build(dtype: torch.dtype) -> Bijection:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the shuffled orders
            flow = ZukoFlow(3, *arguments)
        return randomised(flow, 0.4).to(dtype).eval()

    return build


def _residual(dtype: torch.dtype) -> Bijection:
    blocks = [ResidualBlock(randomised(MLP(3, (8, 8), "silu"), 0.2, seed)) for seed in range(2)]
    return Chain(3, blocks).to(dtype).eval()


PATH_GRAPH = [[0.0, 1.0, 0.0], [1.0, 0.0, 2.0], [0.0, 2.0, 0.0]]  # three nodes in a row


def _graph(dtype: torch.dtype) -> Bijection:
    """Points on a graph with their labels behind them, a block on it, and the target that the labels choose."""
    net = randomised(ChebyshevNet(9, PATH_GRAPH, widths=(6, 5), labels=True), 0.4)
    return Chain(9, [ODEBijection(net, FixedGrid(40)), LabelledShift(3)]).to(dtype).eval()


def _chain(dtype: torch.dtype) -> Bijection:
    ode = ODEBijection(randomised(Gated(3, 4)), FixedGrid(2), "discrete").to(dtype)
    return Chain(3, [_affine(dtype), _radial(dtype), ode])


def _learned(net: nn.Module, schedule: str, prediction: str, *arguments: object) -> Callable[..., Bijection]:
    return _ode(InterpolationVelocity(net, by_name(schedule), prediction), *arguments, scale=0.4)


_MAPS = [
    Case("affine", _affine, 3, 1e-13),
    Case("radial", _radial, 3, 1e-13),
    Case("actnorm", _actnorm, 6, 1e-13),
    Case("implicit", _implicit, 3, 1e-9),
    Case("image", _image, 16, 1e-12, torch.sigmoid),
    # A fixed grid is inverted by defect correction, to a few roundings.
    Case("discrete-lattice", _ode(Lattice(2, (12, 9), 3.0), FixedGrid(3), "discrete", scale=0.3), 2, 1e-12),
    Case("discrete-mlp", _ode(MLP(3, (8, 8), "tanh", time=True), FixedGrid(2), "discrete", scale=0.5), 3, 1e-12),
    Case("discrete-gated", _ode(Gated(3, 5), FixedGrid(4, "midpoint"), "discrete", scale=0.4), 3, 1e-12),
    Case("trace-fixed-grid", _ode(MLP(3, (8, 8, 8), "silu"), FixedGrid(60), scale=0.4), 3, 1e-12),
    Case("trace-adaptive", _adaptive, 3, 1e-10),
    Case("trace-potential", _ode(Potential(3, 6, 3, 2), FixedGrid(60), scale=0.4), 3, 1e-12),
    Case("discrete-potential", _ode(Potential(2, 6, 2), FixedGrid(3), "discrete", scale=0.5), 2, 1e-12),
    Case("nsf", _zuko("nsf", 2, (8, 8), 5), 3, 1e-10),
    Case("maf", _zuko("maf", 3, (8,), 8, 2, True), 3, 1e-11),
    Case(
        "discrete-angle",
        _learned(
            TimeLattice(2, ((12, 0.4, 2), (9, 0.0, 3)), 4.0),
            "foellmer",
            "angle",
            FixedGrid(4),
            "discrete",
            None,
            0.9,
            0.0,
        ),
        2,
        1e-12,
    ),
    Case(
        "trace-denoiser",
        _learned(MLP(3, (8, 8), "silu", time=True), "linear", "denoiser", FixedGrid(40), "trace", None, 0.5, 0.1),
        3,
        1e-12,
    ),
    Case("residual", _residual, 3, 1e-12),
    Case("graph", _graph, 9, 1e-11),
    Case("chain", _chain, 3, 1e-12),
]
CASES = {case.name: case for case in _MAPS}
WITH_PARAMETERS = {name: case for name, case in CASES.items() if name not in ("affine", "radial")}
