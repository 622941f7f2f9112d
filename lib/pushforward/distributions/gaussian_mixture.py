"""Gaussian mixtures in any dimension; the standard normal is the mixture of one."""

import math

import torch
from torch import Tensor

from pushforward.distributions.base import CHUNK, Distribution, Entropy, pick
from pushforward.distributions.quadrature import grid_entropy, grid_size
from pushforward.errors import InputError
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

LARGEST_GRID = 2**22  # points of a quadrature grid; beyond it, or beyond 2-D, the entropy is a Monte Carlo mean
DRAWS = 2**17
TAIL = 9.0  # standard deviations that a quadrature box reaches beyond the outermost component: a mass of 1e-18


class GaussianMixture(Distribution):
    """Σ_k w_k N(m_k, Σ_k) on R^d.

    Args:
        weights: [k], positive; divided by their sum.
        means: [k, d].
        covariances: [k, d, d], symmetric positive definite; or else
        scales: standard deviations, one number, [k], or [k, d] (no correlation).
        name: shown in tables.

    Its parts are public, in float64: ``weights`` [k], ``means`` [k, d], ``roots`` [k, d, d] with Σ_k = roots rootsᵀ.

    Raises:
        InputError: shapes that do not fit, numbers that are NaN, weights or scales that are not positive,
            a covariance that is not symmetric positive definite, both or neither of covariances and scales.
    """

    def __init__(
        self,
        weights: Tensor | list,
        means: Tensor | list,
        covariances: Tensor | list | None = None,
        scales: Tensor | list | float | None = None,
        name: str = "gaussian-mixture",
    ) -> None:
        self.name = name
        self.weights, self.means = _checked_weights(weights), _checked("means", means)
        k = len(self.weights)
        if self.means.ndim != 2 or len(self.means) != k or self.means.shape[1] == 0:
            raise InputError(f"means has shape {tuple(self.means.shape)}, expected ({k}, d): one row per weight")
        self.dim = self.means.shape[1]
        if (covariances is None) == (scales is None):
            raise InputError("covariances and scales: expected exactly one of the two")
        if scales is not None:
            self.roots = torch.diag_embed(_checked_scales(scales, k, self.dim))
        else:
            self.roots = _cholesky(_checked("covariances", covariances), k, self.dim)
        eye = torch.eye(self.dim, dtype=torch.float64).expand_as(self.roots)
        self._whiten = torch.linalg.solve_triangular(self.roots, eye, upper=False)
        log_det = self.roots.diagonal(dim1=1, dim2=2).log().sum(1)
        self._log_factor = self.weights.log() - log_det - 0.5 * self.dim * math.log(2 * math.pi)

    @property
    def _width(self) -> int:
        return self.means.numel()

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        k = pick(self.weights, n, generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        x = torch.empty_like(noise)
        for rows in torch.arange(n).split(max(1, CHUNK // self.dim**2)):  # roots hold d² numbers a point
            x[rows] = self.means[k[rows]] + (self.roots[k[rows]] @ noise[rows, :, None]).squeeze(2)
        return x

    def _log_density(self, x: Points) -> PerPoint:
        whiten, means = self._whiten.to(x), self.means.to(x)
        offset = (whiten @ means[:, :, None]).flatten()
        residual = torch.addmm(-offset, x, whiten.flatten(0, 1).T)  # [n, k d]: one matrix product for all components
        energy = 0.5 * residual.square().unflatten(1, means.shape).sum(2)
        return torch.logsumexp(self._log_factor.to(x) - energy, 1)

    def _find_entropy(self) -> Entropy:
        if len(self.weights) == 1:
            return Entropy(float(0.5 * self.dim - self._log_factor), 0.0)
        spread = TAIL * self.roots.square().sum(2).sqrt()
        low, high = (self.means - spread).amin(0), (self.means + spread).amax(0)
        spacing = 0.5 * float(torch.linalg.svdvals(self.roots).min())
        if self.dim <= 2 and grid_size(low, high, spacing) <= LARGEST_GRID:
            return grid_entropy(self.log_prob, low, high, spacing)
        x = self.sample(DRAWS, stream(0, "entropy of a Gaussian mixture"), torch.float64)
        surprise = -self.log_prob(x)
        return Entropy(float(surprise.mean()), float(surprise.std()) / math.sqrt(DRAWS))


def standard_normal(dim: int) -> GaussianMixture:
    """N(0, I) on R^dim."""
    if not isinstance(dim, int) or dim < 1:
        raise InputError(f"dim is {dim!r}, expected a positive integer")
    return GaussianMixture([1.0], torch.zeros(1, dim), scales=1.0, name="standard-normal")


def _checked(name: str, value: object) -> Tensor:
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is {type(value).__name__}, expected numbers in a tensor: {error}") from error
    if not torch.isfinite(tensor).all():
        raise InputError(f"{name} holds NaN or infinite numbers: repair them")
    return tensor


def _checked_weights(weights: object) -> Tensor:
    weights = _checked("weights", weights)
    if weights.ndim != 1 or len(weights) == 0 or (weights <= 0).any():
        raise InputError(
            f"weights has shape {tuple(weights.shape)} and smallest entry "
            f"{float(weights.min()) if weights.numel() else math.nan:g}, expected (k,) of positive numbers: "
            "drop components of weight zero"
        )
    return weights / weights.sum()


def _checked_scales(scales: object, k: int, dim: int) -> Tensor:
    """Standard deviations as [k, d]."""
    scales = _checked("scales", scales)
    if scales.shape not in {(), (k,), (k, dim)} or (scales <= 0).any():
        raise InputError(
            f"scales has shape {tuple(scales.shape)} and smallest entry "
            f"{float(scales.min()) if scales.numel() else math.nan:g}, "
            f"expected positive standard deviations: one number, ({k},) or ({k}, {dim})"
        )
    return (scales[:, None] if scales.ndim == 1 else scales).expand(k, dim)


def _cholesky(covariances: Tensor, k: int, dim: int) -> Tensor:
    """Lower factors [k, d, d]."""
    if covariances.shape != (k, dim, dim):
        raise InputError(f"covariances has shape {tuple(covariances.shape)}, expected ({k}, {dim}, {dim})")
    roots, failed = torch.linalg.cholesky_ex(covariances)
    lopsided = ~torch.isclose(covariances, covariances.mT, rtol=1e-6, atol=0.0).flatten(1).all(1)
    bad = (failed > 0) | lopsided
    if bad.any():
        raise InputError(
            f"covariances[{int(bad.nonzero()[0])}] is not symmetric positive definite: "
            "symmetrise it, add a small multiple of the identity, or pass scales"
        )
    return roots
