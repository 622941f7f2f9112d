"""The multilayer perceptron of the papers, with tangents carried by hand."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.errors import InputError
from pushforward.shapes import PerPoint, Points, Time

BETA = 20.0  # sharpness of the papers' softplus: close to ReLU, still smooth


def _softplus(a: Tensor) -> tuple[Tensor, Tensor]:
    return softplus(a, BETA, threshold=40), torch.sigmoid(BETA * a)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    gate = torch.sigmoid(a)
    value = a * gate
    return value, gate + value * (1 - gate)


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    value = torch.tanh(a)
    return value, 1 - value.square()


ACTIVATIONS = {"softplus": _softplus, "silu": _silu, "tanh": _tanh}  # a -> (value, derivative)


class MLP(nn.Module):
    """v(t, x) = W_L σ(… σ(W_1 x + b_1) …) + b_L, with t appended to x when ``time`` is true.

    A time is a scalar, or one a point [n]. The last layer starts at zero, so that a new block is the identity.

    Args:
        dim: dimension d of the points.
        widths: hidden widths, at least one.
        activation: ``softplus`` (β = 20, the papers' choice), ``silu`` or ``tanh``.
        time: whether the velocity depends on t; the JKO blocks of the paper do not.

    Raises:
        InputError: no hidden layer, or an unknown activation.
    """

    def __init__(
        self, dim: int, widths: Sequence[int] = (128, 128, 128), activation: str = "softplus", time: bool = False
    ) -> None:
        super().__init__()
        if not widths:
            raise InputError("widths is empty, expected at least one hidden layer")
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
        self.dim, self.widths, self.activation, self.time = dim, tuple(widths), activation, time
        sizes = [dim + int(time), *widths, dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": self.dim, "widths": list(self.widths), "activation": self.activation, "time": self.time}

    @torch.no_grad()
    def restrict_(self, start: float, end: float) -> None:
        """Become (end − start) v(start + (end − start) t, x): the path from ``start`` to ``end``, run in unit time."""
        if self.time:  # the clock enters the first layer alone
            first = self.layers[0]
            first.bias += start * first.weight[:, self.dim]
            first.weight[:, self.dim] *= end - start
        for parameter in self.layers[-1].parameters():
            parameter *= end - start

    def _input(self, t: Time, x: Points) -> Tensor:
        if not self.time:
            return x
        return torch.cat([x, torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)], 1)

    def forward(self, t: Time, x: Points) -> Points:
        """v(t, x) [n, d]."""
        act = ACTIVATIONS[self.activation]
        a = self._input(t, x)
        for layer in self.layers[:-1]:
            a, _ = act(layer(a))
        return self.layers[-1](a)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, d] and its Jacobian in x [n, d, d], all d tangents in one pass."""
        act = ACTIVATIONS[self.activation]
        first, *rest = self.layers
        a, slope = act(first(self._input(t, x)))
        tangents = first.weight[:, : self.dim].T[:, None] * slope  # [d, n, width]
        for layer in rest[:-1]:
            a, slope = act(layer(a))
            tangents = (tangents @ layer.weight.T) * slope
        last = rest[-1]
        return last(a), (tangents @ last.weight.T).permute(1, 2, 0)

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and tr ∂v/∂x [n], exact.

        With one or two hidden layers the trace is a form in the slopes d_i = σ'(·) alone, e.g.
        tr(W₃ D₂ W₂ D₁ W₁) = d₂ᵀ [W₂ ∘ (W₁W₃)ᵀ] d₁: as cheap as one more layer whatever d is.
        """
        if len(self.widths) > 2:
            v, jacobian = self.velocity_and_jacobian(t, x)
            return v, jacobian.diagonal(dim1=1, dim2=2).sum(1)
        act = ACTIVATIONS[self.activation]
        first, last = self.layers[0], self.layers[-1]
        outer = first.weight[:, : self.dim] @ last.weight  # [first width, last width]
        a, slope = act(first(self._input(t, x)))
        if len(self.widths) == 1:
            return last(a), slope @ outer.diagonal()
        middle = self.layers[1]
        a, slope2 = act(middle(a))
        return last(a), (slope2 * (slope @ (middle.weight.T * outer))).sum(1)
