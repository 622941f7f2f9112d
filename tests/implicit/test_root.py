import re

import pytest
import torch

from cases import generator, normal
from pushforward.errors import InputError, NotConverged
from pushforward.implicit import GMRES, SOLVERS, Anderson, Broyden, FixedPoint, Newton, NewtonKrylov, RootSolver
from pushforward.implicit.iteration import iterate
from pushforward.implicit.root import RootResult, solve_or_raise
from pushforward.implicit.solvers.gmres import gmres

TOL = 1e-10
every_solver = pytest.mark.parametrize("name", SOLVERS)
every_size = pytest.mark.parametrize(
    ("dim", "kappa"), [(dim, kappa) for dim in (1, 2, 20) for kappa in (0.5, 0.97)], ids=str
)


def rotation(dim, seed=0):
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator(seed), dtype=torch.float64))[0]


def contraction(dim, kappa, seed=0):
    """κ Q sin(3z + b)/3 with Q orthogonal: slopes of size κ are met, for both signs."""
    q, shift = rotation(dim, seed), torch.randn(dim, generator=generator(seed + 1), dtype=torch.float64)
    return lambda z: kappa * torch.sin(3 * z + shift.to(z)) @ q.to(z) / 3


def equation(dim, kappa, n=24, seed=0):
    """F and right-hand sides, which are also the starts, from easy ones near 0 to far ones."""
    g = contraction(dim, kappa, seed)
    rhs = normal(n, dim, seed=seed + 2) * torch.logspace(-2, 1, n, dtype=torch.float64)[:, None]
    return (lambda z: rhs - g(z) - z), rhs


def limit(residual, z, steps=1200):
    for _ in range(steps):
        z = z + residual(z)
    return z


@every_solver
@every_size
def test_every_solver_finds_the_root_of_every_row(name, dim, kappa):
    residual, start = equation(dim, kappa)
    result = SOLVERS[name]()(residual, start, kappa, TOL)
    assert result.converged.all()
    assert (result.relative_bound <= TOL).all()
    torch.testing.assert_close(result.residual, residual(result.x).norm(dim=1), rtol=0, atol=1e-14)
    torch.testing.assert_close(result.bound, result.residual / (1 - kappa))
    error = (result.x - limit(residual, start)).norm(dim=1)
    assert (error <= result.bound + 1e-13).all()


@every_solver
def test_every_start_leads_to_the_same_root(name):
    residual, start = equation(2, 0.97, n=1)
    rhs, g, starts = start.expand(30, 2), contraction(2, 0.97), 100 * normal(30, 2, seed=7)
    result = SOLVERS[name]()(lambda z: rhs - g(z) - z, starts, 0.97, TOL)
    assert result.converged.all()
    torch.testing.assert_close(result.x, limit(residual, start).expand(30, 2), rtol=0, atol=2e-10)


@every_solver
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_certificate_holds_at_every_point_that_a_solver_asks_for(name, dim):
    kappa, seen = 0.97, []
    residual, start = equation(dim, kappa)

    def recording(z):
        value = residual(z)
        if torch.is_tensor(z) and not torch._C._functorch.is_functorch_wrapped_tensor(z):
            seen.append((z, value))
        return value

    SOLVERS[name]()(recording, start, kappa, TOL)
    root = limit(residual, start)
    assert len(seen) > 3
    for z, value in seen:
        assert ((z - root).norm(dim=1) * (1 - kappa) <= value.norm(dim=1) + 1e-13).all()


@every_solver
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_linear_maps_have_a_closed_form(name, dim):
    matrix, rhs = 0.97 * rotation(dim, 5), normal(9, dim, seed=6)
    expected = torch.linalg.solve(torch.eye(dim) + matrix, rhs.mT).mT
    result = SOLVERS[name]()(lambda z: rhs - z @ matrix.mT - z, rhs, 0.97, 1e-12)
    torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-10)


@every_solver
@pytest.mark.parametrize("dim", [1, 2, 20])
def test_rows_do_not_see_each_other(name, dim):
    residual, start = equation(dim, 0.97)
    together = SOLVERS[name]()(residual, start, 0.97, TOL)
    g = contraction(dim, 0.97)
    for i in range(0, len(start), 5):  # one-sample batches
        alone = SOLVERS[name]()(lambda z, rhs=start[i : i + 1]: rhs - g(z) - z, start[i : i + 1], 0.97, TOL)
        torch.testing.assert_close(alone.x[0], together.x[i], rtol=0, atol=1e-8)
        assert abs(int(alone.iterations[0]) - int(together.iterations[i])) <= 1  # a rounding may tip one step
        assert alone.fallbacks[0] == together.fallbacks[i]


@every_solver
def test_rows_that_start_at_their_root_stay_there(name):
    residual, start = equation(2, 0.97)
    done = torch.arange(len(start)) % 2 == 0
    start = torch.where(done[:, None], limit(residual, start), start)
    result = SOLVERS[name]()(residual, start, 0.97, TOL)
    assert torch.equal(result.x[done], start[done])
    assert result.iterations[done].eq(0).all() and result.iterations[~done].gt(0).all()
    assert result.converged.all()
    again = SOLVERS[name]()(residual, result.x, 0.97, TOL)  # nothing at all is left to do
    assert torch.equal(again.x, result.x) and again.iterations.eq(0).all()


@every_solver
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_row_is_reported_and_harms_no_other(name, bad):
    residual, start = equation(2, 0.97)
    clean = SOLVERS[name]()(residual, start, 0.97, TOL)
    dirty = start.clone()
    dirty[3, 1] = bad
    g, other = contraction(2, 0.97), torch.arange(len(start)) != 3
    broken = lambda z: dirty - g(z) - z  # noqa: E731
    result = SOLVERS[name]()(broken, dirty, 0.97, TOL)
    assert result.converged.tolist() == other.tolist()
    assert result.iterations[3] == 0 and not result.residual[3].isfinite()
    torch.testing.assert_close(result.x[other], clean.x[other], rtol=0, atol=1e-8)
    with pytest.raises(NotConverged, match="1 of 24 rows.*NaN or an infinity, the first is row 3"):
        solve_or_raise(SOLVERS[name](), broken, dirty, 0.97, TOL)


@every_solver
def test_a_map_that_is_nan_somewhere_on_the_way_is_survived(name):
    root, calls = torch.full((5, 2), 0.5, dtype=torch.float64), []

    def residual(z):
        calls.append(1)
        value = 1.45 * (root - z) if len(calls) != 2 else torch.full_like(z, float("nan"))
        return value

    result = SOLVERS[name]()(residual, torch.zeros(5, 2, dtype=torch.float64), 0.5, TOL)
    assert result.converged.all() == (name != "fixed-point")  # the others hand the rows on from their best iterate
    assert result.x.isfinite().all()


@every_solver
def test_a_map_that_is_no_contraction_is_an_error_that_names_kappa(name):
    rhs = normal(6, 2)
    for slope in (-3.0, 3.0):  # Newton's method would find a root
        with pytest.raises(InputError, match=r"kappa is 0\.97, but the map stretches.*by 3 "):
            SOLVERS[name]()(lambda z, s=slope: rhs - s * z - z, rhs, 0.97, TOL)
    with pytest.raises(InputError, match=r"kappa is 1\.2, expected 0 <= kappa < 1"):
        SOLVERS[name]()(lambda z: rhs - z, rhs, 1.2, TOL)


@every_solver
def test_float32_stays_float32_and_rounding_refutes_no_kappa(name):
    residual, start = equation(20, 0.97)
    start, exact = start.float(), limit(residual, start)
    g = contraction(20, 0.97)
    result = SOLVERS[name]()(lambda z: start - g(z) - z, start, 0.97, 1e-4)
    assert {result.x.dtype, result.bound.dtype} == {torch.float32}
    assert result.converged.all()
    assert ((result.x - exact).norm(dim=1) <= 1.01e-4 * exact.norm(dim=1).clamp_min(1)).all()


@every_solver
def test_no_map_at_all_is_solved_at_once(name):
    rhs = normal(4, 3)
    result = SOLVERS[name]()(lambda z: rhs - z, torch.zeros_like(rhs), 0.0, TOL)
    torch.testing.assert_close(result.x, rhs, rtol=0, atol=1e-13)
    assert result.converged.all()


@pytest.mark.parametrize("solver", [Anderson(max_iterations=1), Broyden(max_iterations=1), Newton(1), NewtonKrylov(1)])
def test_rows_that_run_out_of_steps_fall_back_on_the_fixed_point(solver):
    residual, start = equation(2, 0.97)
    start = torch.cat([limit(residual, start)[:1], start[1:]])
    result = solver(residual, start, 0.97, TOL)
    assert result.converged.all()
    assert not result.fallbacks[0] and result.fallbacks[-1]
    plain = FixedPoint()(residual, start, 0.97, TOL)
    assert not plain.fallbacks.any()
    torch.testing.assert_close(result.x, plain.x, rtol=0, atol=1e-9)


def test_a_wrong_jacobian_costs_time_and_no_truth():
    residual, start = equation(2, 0.9)
    wrong = Newton(jacobian=lambda z: torch.eye(2, dtype=z.dtype).expand(len(z), 2, 2))  # the sign is wrong
    result = wrong(residual, start, 0.9, TOL)
    assert result.converged.all()
    torch.testing.assert_close(result.x, limit(residual, start), rtol=0, atol=1e-8)


def test_the_fixed_point_needs_what_kappa_says():
    rhs = torch.ones(1, 1, dtype=torch.float64)
    result = FixedPoint()(lambda z: rhs + 0.9 * z - z, torch.zeros_like(rhs), 0.9, 1e-6)  # root 10, residual 0.9^k
    assert result.iterations[0] == 132  # the first k with 0.9^k / 0.1 <= 1e-6 * 10, by logarithms 131.1
    assert result.converged[0]


def test_newton_is_quadratic_and_damped():
    kappa = 0.97
    residual, start = equation(1, kappa, n=200)
    result = Newton()(residual, start, kappa, 1e-12)
    assert not result.fallbacks.any()
    assert result.converged.all()
    start = limit(residual, start) + 0.01
    near = Newton()(residual, start, kappa, 1e-12)
    assert near.iterations.max() <= 6


def test_newton_takes_shorter_steps_where_the_full_one_does_not_pay():
    asked = []

    def residual(z):
        asked.append(float(z))
        return -1.9 * z

    def flat(z):  # full steps go 2.5 times too far
        return torch.full((1, 1, 1), -1.9 / 2.5, dtype=z.dtype)

    start = torch.ones(1, 1, dtype=torch.float64)
    result = Newton(jacobian=flat)(residual, start, 0.97, 1e-8)
    assert asked[:5] == pytest.approx([1, -1.5, -0.25, 0.375, 0.0625])  # too far, half of it, and so on
    assert result.converged.all() and not result.fallbacks.any()


def test_newton_ends_its_halvings_with_a_fixed_point_step():
    asked = []

    def residual(z):
        asked.append(float(z))
        return -1.9 * z

    uphill = Newton(jacobian=lambda z: torch.full((1, 1, 1), 1.9, dtype=z.dtype))
    result = uphill(residual, torch.ones(1, 1, dtype=torch.float64), 0.97, 1e-3)
    assert asked[:7] == pytest.approx([1, 2, 1.5, 1.25, 1.125, 1.0625, -0.9])
    assert result.converged.all()


def test_gmres_solves_affine_systems_whatever_its_memory():
    dim, kappa = 40, 0.97
    matrix, a = kappa * rotation(dim, 8), normal(7, dim, seed=9)
    expected = torch.linalg.solve(torch.eye(dim) + matrix, a.mT).mT
    for memory in (3, 50):
        result = GMRES(memory, 100)(lambda h: a - h - h @ matrix.mT, a, kappa, 1e-12)
        assert result.converged.all()
        torch.testing.assert_close(result.x, expected, rtol=0, atol=1e-10)
    products = []
    gmres(lambda v: products.append(1) or v + v @ matrix.mT, a, torch.full((7,), 1e-12), dim, 200)
    assert len(products) <= dim  # a Krylov method ends after d products


@pytest.mark.parametrize("on_failure", ["raise", "warn"])
def test_a_solve_that_fails_is_never_silent(on_failure):
    residual, start = equation(2, 0.97)
    seen = []
    arguments = (FixedPoint(3), residual, start, 0.97, TOL, on_failure, seen.append)
    message = r"rows have no certified root: the worst is row \d+ with a bound of .* after 3 iterations at kappa 0.97"
    if on_failure == "raise":
        with pytest.raises(NotConverged, match=message) as caught:
            solve_or_raise(*arguments)
        row = int(re.search(r"row (\d+)", str(caught.value)).group(1))
        assert row == int(seen[0].relative_bound.argmax())
        assert "allow more iterations" in str(caught.value)
    else:
        with pytest.warns(RuntimeWarning, match=message):
            assert solve_or_raise(*arguments) is seen[0]
    assert not seen[0].converged.all()


def test_a_tolerance_below_rounding_is_named():
    residual, start = equation(20, 0.97)
    g, start = contraction(20, 0.97), start.float()
    with pytest.raises(NotConverged, match="rounding alone is 4.0e-06 in torch.float32"):
        solve_or_raise(Broyden(), lambda z: start - g(z) - z, start, 0.97, 1e-9)


def test_a_solver_of_ones_own_is_five_lines():
    class Halfway:
        def __call__(self, residual, start, kappa, tol):
            z = start
            for _ in range(200):
                z = z + 0.5 * residual(z)
            f = residual(z).norm(dim=1)
            done = f <= tol * (1 - kappa)
            return RootResult(z, f, f / (1 - kappa), torch.full_like(done, 200, dtype=torch.long), done, ~done & False)

    residual, start = equation(2, 0.5)
    assert isinstance(Halfway(), RootSolver)
    torch.testing.assert_close(
        solve_or_raise(Halfway(), residual, start, 0.5, TOL).x, limit(residual, start), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Newton()(lambda z: -z, torch.zeros(1, 65), 0.5, TOL), "d = 65, expected at most 64"),
        (lambda: FixedPoint()(lambda z: -z, torch.zeros(3), 0.5, TOL), "start has shape"),
        (lambda: FixedPoint()(lambda z: -z, torch.zeros(3, 1), 0.5, 0.0), "tol is 0"),
        (lambda: FixedPoint()(lambda z: -z, torch.zeros(3, 1), float("nan"), TOL), "kappa is nan"),
        (lambda: solve_or_raise(FixedPoint(), lambda z: -z, torch.zeros(3, 1), 0.5, TOL, "hide"), "'hide'"),
        (lambda: Anderson(memory=0), "memory"),
        (lambda: Broyden(max_iterations=0), "at least 1"),
        (lambda: NewtonKrylov(forcing=1.0), "forcing"),
        (lambda: GMRES(cycles=0), "at least 1"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "most"), [("anderson", (14, 16)), ("broyden", (14, 16)), ("newton", (9, 9)), ("newton-krylov", (9, 9))]
)
def test_acceleration_is_worth_its_name(name, most):
    for dim, steps in zip((1, 2), most, strict=True):  # the fixed point takes up to 700 here
        residual, start = equation(dim, 0.97)
        result = SOLVERS[name]()(residual, start, 0.97, TOL)
        assert not result.fallbacks.any()
        assert result.iterations.max() <= steps


def test_a_proposal_that_is_not_finite_becomes_a_fixed_point_step():
    residual, start = equation(2, 0.5)
    result = Newton(jacobian=lambda z: torch.zeros(len(z), 2, 2, dtype=z.dtype))(residual, start, 0.5, 1e-6)
    plain = FixedPoint()(residual, start, 0.5, 1e-6)
    assert not result.fallbacks.any()
    assert torch.equal(result.iterations, plain.iterations)


def test_a_row_that_has_diverged_is_frozen_at_its_best():
    start = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    result = iterate(lambda z: -z, start, 0.5, TOL, lambda z, f: z - 9 * f, 60)
    assert result.iterations.tolist() == [4, 0]  # 10, 100, 1000, 10000: above a thousand times the first residual
    assert torch.equal(result.x, start) and result.converged.tolist() == [False, True]


def test_gmres_leaves_a_row_that_asks_for_nothing_at_zero():
    a = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
    h = gmres(lambda v: 1.5 * v, a, torch.full((2,), 1e-12, dtype=torch.float64), 5, 10)
    torch.testing.assert_close(h, a / 1.5, rtol=0, atol=1e-15)
