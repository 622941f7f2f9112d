"""The implicit block: a residual block followed by the inverse of another, (Id + g_z)⁻¹ ∘ (Id + g_x)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.implicit import Audit, Broyden, Newton, RootSolver, implicit_root, solve_or_raise
from pushforward.implicit.equation import Equation
from pushforward.implicit.log_det import Exact, LogDet, Map
from pushforward.implicit.root import OnFailure
from pushforward.implicit.solvers.newton import mixed_precision_start
from pushforward.shapes import PerPoint, Points

SMALL = 16  # up to this dimension Newton, with its dense Jacobian, is the default solver; above it is Broyden
EXACT_UP_TO = 64  # in evaluation mode log-determinants are exact up to this dimension
COARSE = 1e-3  # certified in float32 before a solve goes on in float64: there it is one Newton step more
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-11}


class ImplicitBlock(Bijection):
    """x ↦ z with z + g_z(z) = x + g_x(x), where g_x and g_z have 2-norm Lipschitz constants below 1.

    ``g_z`` None is a residual block, ``g_x`` None the inverse of one; the inverse of a block swaps the two. The
    networks say their ``dim`` and their bound ``kappa``.

        ln |det dz/dx| = ln det(I + J_{g_x}(x)) − ln det(I + J_{g_z}(z)),   arXiv 2103.09527, equation 13.

    Every solve ends in float64 and is certified to ``tol`` · max(1, ‖z‖) (by default 1e-6 for float32, 1e-11 for
    float64 points), the backward solves likewise; ``audits`` counts the rows of all solves since the start, under
    "forward", "inverse" and "backward". A certificate is as good as ``kappa``, which networks in training mode may
    estimate. ``log_det`` may be an estimate too; in evaluation mode it is exact up to d = 64.

    Raises:
        InputError: no network at all, one without ``dim`` or ``kappa``, dimensions that differ; in use, κ ≥ 1 or a κ
            that the iterates refute.
        NotConverged: in use, rows without a certified root while ``on_failure`` is "raise".
    """

    def __init__(
        self,
        g_x: nn.Module | None = None,
        g_z: nn.Module | None = None,
        solver: RootSolver | None = None,
        log_det: LogDet | None = None,
        tol: float | None = None,
        on_failure: OnFailure = "raise",
    ) -> None:
        super().__init__()
        self.g_x, self.g_z = g_x, g_z
        self.dim = _common_dim(g_x, g_z)
        self.solver: RootSolver = solver or (Newton() if self.dim <= SMALL else Broyden())
        self.log_det: LogDet = log_det or Exact()
        self.tol, self.on_failure = tol, on_failure
        self.generator: torch.Generator | None = None  # of the log-determinant's draws; None is torch's global one
        self.audits = {name: Audit() for name in ("forward", "inverse", "backward")}

    def forward(self, x: Points) -> Points:
        return self._map(x, self.g_x, self.g_z, self.audits["forward"])

    def inverse(self, z: Points) -> Points:
        return self._map(z, self.g_z, self.g_x, self.audits["inverse"])

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        if self.g_x is None:
            rhs, log_det = x, x.new_zeros(len(x))
        else:
            value, log_det = self._value_and_log_det(_effective(self.g_x), x)
            rhs = x + value
        if self.g_z is None:
            return rhs, log_det
        g_z = _effective(self.g_z)
        z = self._root(rhs, g_z, float(self.g_z.kappa), self.audits["forward"])
        # z with its graph: the log-determinant at z reaches x and g_x through the root
        return z, log_det - self._estimator()(g_z, z, self.generator)

    def get_extra_state(self) -> Tensor:
        """The audits [3, 5]: they travel with the weights, so that a trained flow can answer for its training."""
        return torch.stack([audit.state() for audit in self.audits.values()])

    def set_extra_state(self, state: Tensor) -> None:
        """Take up the audits of a ``state_dict``."""
        for audit, row in zip(self.audits.values(), state, strict=True):
            audit.restore(row)

    def _value_and_log_det(self, g: Map, points: Points) -> tuple[Points, PerPoint]:
        estimator = self._estimator()
        if isinstance(estimator, Exact):
            return estimator.with_value(g, points)
        return g(points), estimator(g, points, self.generator)

    def _estimator(self) -> LogDet:
        return self.log_det if self.training or self.dim > EXACT_UP_TO else Exact()

    def _map(self, point: Points, explicit: nn.Module | None, implicit: nn.Module | None, audit: Audit) -> Points:
        """The root y of y + implicit(y) = point + explicit(point), with its gradients where they are on."""
        rhs = point if explicit is None else point + explicit(point)
        return rhs if implicit is None else self._root(rhs, _effective(implicit), float(implicit.kappa), audit)

    def _root(self, rhs: Points, implicit: Map, kappa: float, audit: Audit) -> Points:
        tol = TOLERANCES.get(rhs.dtype, 1e-6) if self.tol is None else self.tol
        # The Jacobian at the root is for the backward pass; without one most rows are certified by F alone.
        equation = Equation(implicit, rhs.double(), dense=isinstance(self.solver, Newton) and torch.is_grad_enabled())
        with torch.no_grad():
            start = self._start(implicit, equation, rhs, kappa, audit)
            root = solve_or_raise(self.solver, equation, start, kappa, tol, self.on_failure, audit.add).x
        if not torch.is_grad_enabled():
            return root.to(rhs.dtype)
        return implicit_root(
            lambda y: rhs - implicit(y) - y,
            root,
            kappa,
            tol,
            linear=equation,
            dtype=rhs.dtype,
            on_failure=self.on_failure,
            report=self.audits["backward"].add,
        )

    def _start(self, g: Map, exact: Equation, rhs: Points, kappa: float, audit: Audit) -> Points:
        """Where the solve in float64 starts: what can be had in the points' own, cheaper, precision."""
        if rhs.dtype == torch.float64:
            return rhs
        single = Equation(g, rhs, dense=isinstance(self.solver, Newton))
        if single.dense:
            audit.iterations += 3 * len(rhs)
            return mixed_precision_start(single, exact)
        coarse = self.solver(single, rhs, kappa, COARSE)
        audit.iterations += int(coarse.iterations.sum())
        return torch.where(coarse.x.isfinite().all(1, keepdim=True), coarse.x, rhs).double()


@contextmanager
def drawing_from(bijection: Bijection, generator: torch.Generator) -> Iterator[None]:
    """Within, every part of ``bijection`` that estimates a log-determinant draws from ``generator``."""
    blocks = [part for part in bijection.modules() if isinstance(part, Bijection) and hasattr(part, "generator")]
    before = [block.generator for block in blocks]
    try:
        for block in blocks:
            block.generator = generator
        yield
    finally:
        for block, old in zip(blocks, before, strict=True):
            block.generator = old


def _effective(g: nn.Module) -> Map:
    """g as it is now, its weights normalised once for all evaluations of a pass, where it can be had so."""
    return g.effective() if hasattr(g, "effective") else g


def _common_dim(*networks: nn.Module | None) -> int:
    present = [g for g in networks if g is not None]
    if not present:
        raise InputError("g_x and g_z are both None, expected at least one network: the block would be the identity")
    for g in present:
        if not (hasattr(g, "dim") and hasattr(g, "kappa")):
            raise InputError(f"a {type(g).__name__} has no dim or no kappa, expected both, as LipschitzMLP has them")
    if len({g.dim for g in present}) > 1:
        raise InputError(f"g_x has dimension {present[0].dim} and g_z {present[1].dim}, expected the same")
    return present[0].dim
