"""An implicit flow as its paper describes it: batch-wide Broyden, a brute-force log-determinant, frozen copies.

Source: arXiv 2103.09527, sections 4.2 and 4.3. Both residuals are signed so that B₀ = −I is right, which spares the
baseline the steps that the released code loses there.
"""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pushforward.flows import Bijection
from pushforward.implicit import LipschitzMLP, Sin
from pushforward.shapes import PerPoint, Points

FORWARD, BACKWARD = 1e-6, 1e-10  # tolerances on the root mean square of the batch's residuals
STEPS = 30
BLOW_UP = 1e6  # a residual that has grown this much hands the batch to the fixed point
FIXED_POINT_STEPS = 1000
POWER_ITERATIONS = 20  # after each optimiser step
Residual = Callable[[Points], Points]


class SpectralLinear(nn.Module):
    """W / max(1, σ̂/c) with σ̂ = uᵀWv in every forward pass; u and v move by power iteration between the steps."""

    def __init__(self, weight: Tensor, bias: Tensor, coeff: float) -> None:
        super().__init__()
        self.weight, self.bias, self.coeff = nn.Parameter(weight.clone()), nn.Parameter(bias.clone()), coeff
        self.register_buffer("u", torch.ones_like(bias))
        self.register_buffer("v", torch.ones_like(weight[0]))
        self.iterate(200)

    @torch.no_grad()
    def iterate(self, count: int) -> None:
        """``count`` power iterations, warm-started."""
        for _ in range(count):
            self.u.copy_(nn.functional.normalize(self.weight @ self.v, dim=0))
            self.v.copy_(nn.functional.normalize(self.weight.T @ self.u, dim=0))

    def forward(self, x: Points) -> Points:
        sigma = torch.dot(self.u, self.weight @ self.v)
        return linear(x, self.weight / torch.clamp(sigma / self.coeff, min=1.0), self.bias)


def spectral_net(like: LipschitzMLP) -> nn.Sequential:
    """The network with the weights of ``like``, whose activation is Sin."""
    layers: list[nn.Module] = []
    for layer in like.layers:
        original = layer.parametrizations.weight.original.detach()
        layers += [SpectralLinear(original, layer.bias.detach(), like.coeff), Sin()]
    return nn.Sequential(*layers[:-1])


class BroydenBlock(Bijection):
    """x ↦ z with z + g_z(z) = x + g_x(x); ``steps`` lists the Broyden steps of every solve, by direction."""

    def __init__(self, g_x: nn.Module, g_z: nn.Module, dim: int) -> None:
        super().__init__()
        self.g_x, self.g_z, self.dim = g_x, g_z, dim
        frozen = copy.deepcopy(nn.ModuleList([g_x, g_z])).requires_grad_(False)
        object.__setattr__(self, "frozen", frozen)  # out of sight of the optimiser and of the state
        self.steps: dict[str, list[int]] = {"forward": [], "backward": []}

    def forward(self, x: Points) -> Points:
        return self._map(x, self.g_x, self.g_z, *self.frozen)

    def inverse(self, z: Points) -> Points:
        return self._map(z, self.g_z, self.g_x, *reversed(self.frozen))

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        x = x if x.requires_grad else x.detach().requires_grad_()
        z = self(x)
        return z, brute_force(self.g_x, x) - brute_force(self.g_z, z)

    def _map(self, x: Points, g_x: nn.Module, g_z: nn.Module, frozen_x: nn.Module, frozen_z: nn.Module) -> Points:
        frozen_x.load_state_dict(g_x.state_dict())
        frozen_z.load_state_dict(g_z.state_dict())
        with torch.no_grad():
            right = x + g_x(x)
            z, steps = broyden(lambda y: right - g_z(y) - y, torch.zeros_like(x), FORWARD)
        self.steps["forward"].append(steps)
        fresh = x.detach() + g_x(x.detach()) - g_z(z)  # the root once more, with a graph to the parameters alone
        return _Implicit.apply(fresh, x, frozen_x, frozen_z, self.steps["backward"])


class _Implicit(torch.autograd.Function):
    """Its backward pass solves hᵀ(I + J_gz) = aᵀ by Broyden, and sends h to ``fresh`` and hᵀ(I + J_gx) to x."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        fresh: Points,
        x: Points,
        frozen_x: nn.Module,
        frozen_z: nn.Module,
        steps: list[int],
    ) -> Points:
        ctx.save_for_backward(fresh, x)
        ctx.frozen, ctx.steps = (frozen_x, frozen_z), steps
        return fresh.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, a: Points) -> tuple[Points | None, ...]:
        z, x = (saved.detach().requires_grad_() for saved in ctx.saved_tensors)
        with torch.enable_grad():
            at_x, at_z = x + ctx.frozen[0](x), ctx.frozen[1](z)

        def residual(h: Points) -> Points:
            return a - h - torch.autograd.grad(at_z, z, h, retain_graph=True)[0]

        h, steps = broyden(residual, torch.zeros_like(a), BACKWARD)
        ctx.steps.append(steps)
        return h, torch.autograd.grad(at_x, x, h)[0], None, None, None


def broyden(residual: Residual, start: Points, tolerance: float) -> tuple[Points, int]:
    """The iterate with the smallest residual of the whole batch, and the steps taken; a NaN ends the iteration.

    z ← z − B F with B₀ = −I and B₊ = B + (δz − B δF) δzᵀB / (δzᵀB δF), a B a row, held as −I + U Vᵀ.
    """
    z, f = start, residual(start)
    enough = tolerance * math.sqrt(z.numel())
    left, right = z.new_zeros(len(z), z.shape[1], STEPS), z.new_zeros(len(z), STEPS, z.shape[1])
    first = smallest = norm = float(f.norm())
    best, step = z, 0
    while step < STEPS and norm >= enough:
        moved = f - _apply(left, right, f)
        z = z + moved
        change = -f
        f = residual(z)
        change, norm = change + f, float(f.norm())
        if norm < smallest:
            best, smallest = z, norm
        if norm > BLOW_UP * first:
            return fixed_point(residual, start, tolerance), step
        learned = -moved + torch.einsum("nd,ndk,nke->ne", moved, left, right)  # δzᵀB
        denominator = (learned * change).sum(1, keepdim=True)
        new = (moved + change - _apply(left, right, change)) / denominator
        left[:, :, step], right[:, step] = torch.nan_to_num(new), torch.nan_to_num(learned)
        step += 1
    return best, step


def _apply(left: Tensor, right: Tensor, f: Points) -> Points:
    """U Vᵀ f [n, d], with U [n, d, k] and Vᵀ [n, k, d]."""
    return torch.einsum("ndk,nke,ne->nd", left, right, f)


def fixed_point(residual: Residual, start: Points, tolerance: float) -> Points:
    """z ← z + F(z) until the squared step is below ``tolerance`` (1 + |start|), as the released code stops."""
    z = start
    for _ in range(FIXED_POINT_STEPS):
        change = residual(z)
        z = z + change
        if bool((change.square() < tolerance * (1 + start.abs())).all()):
            break
    return z


def brute_force(g: nn.Module, x: Points) -> PerPoint:
    """ln det(I + J_g(x)) [n] by one differentiable reverse pass a dimension."""
    y = g(x)
    rows = [torch.autograd.grad(y[:, i].sum(), x, create_graph=True)[0] for i in range(x.shape[1])]
    return torch.logdet(torch.stack(rows, 1) + torch.eye(x.shape[1], dtype=x.dtype))


def iterate_norms(blocks: Sequence[BroydenBlock]) -> None:
    """The power iterations that follow an optimiser step."""
    for layer in (part for block in blocks for part in block.modules() if isinstance(part, SpectralLinear)):
        layer.iterate(POWER_ITERATIONS)
