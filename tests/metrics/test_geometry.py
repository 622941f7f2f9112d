import math

import pytest
import torch

from pushforward.errors import InputError, NonFinite
from pushforward.flows.bijection import Bijection
from pushforward.flows.flow import Flow
from pushforward.metrics.geometry import density_grid, integral, movement, movement_ratio, round_trip
from pushforward.seeds import stream

WIDE = ((-9.0, 9.0), (-9.0, 9.0))


class Affine(Bijection):
    """z = A (x − b), with an inverse that misses by ``shift`` and a log-determinant that misses by ``lie``."""

    def __init__(self, dim: int = 2, shift: tuple[float, ...] = (0.0, 0.0), lie: float = 0.0) -> None:
        super().__init__()
        self.dim, self.lie = dim, lie
        self.register_buffer("steps", torch.tensor(3))  # an integer buffer must not choose the grid's dtype
        self.register_buffer("matrix", torch.tensor([[1.5, 0.4], [-0.2, 0.9]], dtype=torch.float64))
        self.register_buffer("centre", torch.tensor([0.3, -0.5], dtype=torch.float64))
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float64))

    def forward(self, x):
        return (x - self.centre.to(x)) @ self.matrix.T.to(x)

    def inverse(self, z):
        return torch.linalg.solve(self.matrix.to(z), z.T).T + self.centre.to(z) + self.shift.to(z)

    def forward_and_log_det(self, x):
        return self(x), (self.matrix.slogdet().logabsdet + self.lie).to(x).expand(len(x))


def points(n: int = 40) -> torch.Tensor:
    return torch.randn(n, 2, dtype=torch.float64, generator=stream(0, "geometry test"))


def test_exact_inverse_closes():
    x = points()
    trip = round_trip(Flow(Affine()), x)
    assert trip.max_abs < 1e-14 and trip.n == 40
    assert round_trip(Affine(), x, batch=7).max_abs < 1e-14  # rows solved together may differ in the last digit


def test_wrong_inverse_is_measured_in_three_norms():
    trip = round_trip(Affine(shift=(0.3, -0.4)), points(), batch=7)
    assert trip[:3] == pytest.approx((0.4, 0.5, 0.125), rel=1e-12)


def test_round_trip_over_unequal_errors():
    class Half(Affine):
        def inverse(self, z):
            x = super().inverse(z)
            return torch.stack([x[:, 0] * 0.5, x[:, 1]], 1)

    trip = round_trip(Half(), torch.tensor([[2.0, 5.0], [4.0, 7.0]], dtype=torch.float64))
    assert trip == pytest.approx((2.0, math.sqrt(2.5), 1.25, 2), rel=1e-12)  # errors 1 and 2 in one coordinate


def test_lost_points_and_nan_points_are_errors():
    with pytest.raises(NonFinite, match="40 of 40 points come back"):
        round_trip(Affine(shift=(math.nan, 0.0)), points())
    with pytest.raises(InputError, match="row 0"):
        round_trip(Affine(), points().fill_(math.nan))


def test_a_density_integrates_to_one():
    flow = Flow(Affine())
    value = integral(flow, WIDE, 100)
    assert value == pytest.approx(1, abs=1e-6)  # cells with hardly any mass are left out
    assert integral(flow, WIDE, 100, batch=77) == pytest.approx(value, rel=1e-14)
    assert integral(flow) == pytest.approx(1, abs=1e-6)  # the default box of ±6 cuts the tails of std 1.1


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_unit_of_the_points_does_not_matter(unit):
    class Normal:
        def log_prob(self, x):
            return -0.5 * (x / unit).square().sum(1) - math.log(2 * math.pi * unit**2)

    box = ((-7 * unit, 7 * unit), (-7 * unit, 7 * unit))
    assert integral(Normal(), box, 150) == pytest.approx(1, abs=3e-5)


def test_a_wrong_log_determinant_does_not():
    value = integral(Flow(Affine(lie=0.1)), WIDE, 100)
    assert value == pytest.approx(math.exp(0.1), abs=1e-6)


class Square:
    """Uniform on (0, 1)², a plain object without parameters."""

    def log_prob(self, x):
        assert x.dtype == torch.float64
        return torch.where(((x > 0) & (x < 1)).all(1), 0.0, -math.inf)


def test_zero_density_is_allowed_and_the_box_is_what_is_covered():
    assert integral(Square(), ((-1, 3), (-1, 1)), 400) == pytest.approx(1, abs=1e-12)
    assert integral(Square(), ((0.25, 1), (0, 0.5)), 10) == pytest.approx(0.75 * 0.5, abs=1e-12)


def test_grid_follows_the_parameters():
    class Spy(Flow):
        def log_prob(self, x):
            assert x.dtype == torch.float32
            return super().log_prob(x)

    assert integral(Spy(Affine().float()), resolution=100) == pytest.approx(1, abs=1e-5)


def test_nan_density_on_the_grid():
    with pytest.raises(NonFinite, match="NaN in 16, .* of 16"):  # the middles of the blocks, the last one a cell wide
        integral(Flow(Affine(lie=math.nan)), resolution=10)


class Spikes:
    """As many Gaussians of standard deviation ``width`` as there are centres [k, 2], of equal weight."""

    def __init__(self, centres: torch.Tensor, width: float) -> None:
        self.centres, self.width, self.asked = centres, width, 0

    def log_prob(self, x):
        self.asked += len(x)
        square = ((x[:, None] - self.centres) / self.width).square().sum(2)
        return torch.logsumexp(-0.5 * square, 1) - math.log(2 * math.pi * self.width**2 * len(self.centres))


@pytest.mark.parametrize("resolution", [1, 2, 90, 91, 92])
def test_a_grid_that_leaves_empty_cells_out_is_the_plain_one(resolution):
    law = Spikes(torch.tensor([[-2.2, 1.3], [1.5, 2.9]], dtype=torch.float64), 0.2)
    box = ((-4.0, 4.0), (-3.0, 5.0))
    cells = (torch.arange(resolution, dtype=torch.float64) + 0.5) * 8 / resolution
    plain = law.log_prob(torch.cartesian_prod(cells - 4, cells - 3)).exp().reshape(resolution, resolution)
    law.asked = 0
    assert torch.allclose(density_grid(law, box, resolution, batch=1000), plain, rtol=1e-12, atol=1e-6)
    assert law.asked <= resolution**2 and (resolution < 90 or law.asked < 0.4 * resolution**2)


def test_no_detail_as_wide_as_half_a_cell_falls_through_the_grid():
    """A 2-D Gaussian of sd 0.5 in cells of 1, wherever its centre is against the blocks: its cells are all there."""
    shifts = torch.cartesian_prod(*[torch.linspace(10, 13, 13, dtype=torch.float64)] * 2)
    for centre in shifts:
        law = Spikes(centre[None], 0.5)
        cells = torch.arange(24, dtype=torch.float64) + 0.5
        plain = law.log_prob(torch.cartesian_prod(cells, cells)).exp().sum()
        assert float(density_grid(law, ((0, 24), (0, 24)), 24).sum()) == pytest.approx(float(plain), abs=1e-6)


@pytest.mark.parametrize(
    "box, resolution", [(((1, 1), (0, 1)), 10), (((0, 1), (0, 1)), 0), (((0, 1), (0, math.nan)), 5)]
)
def test_empty_box(box, resolution):
    with pytest.raises(InputError, match="expected low < high"):
        integral(Square(), box, resolution)


def test_integral_is_for_the_plane():
    with pytest.raises(InputError, match="dimension 3, expected 2"):
        integral(Flow(Affine(dim=3)))


def test_movement_and_its_ratio_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    assert movement(x, y) == 13.0  # (25 + 1) / 2
    assert movement_ratio(x, y) == 1.0  # mean |y|² = (25 + 1) / 2 too
    assert movement_ratio(y, x) == 13.0  # mean |x|² = 1
    assert movement(x, x) == 0.0 and movement_ratio(x, x) == 0.0


def test_movement_refuses_what_it_cannot_pair():
    x = points(4)
    with pytest.raises(InputError, match="x has 4 points and y has 3"):
        movement(x, x[:3])
    with pytest.raises(InputError, match="0 / 0"):
        movement_ratio(x, torch.zeros_like(x))
    with pytest.raises(InputError, match="y has 1 of 4 rows"):
        movement(x, torch.cat([x[:3], torch.full((1, 2), math.nan)]))
