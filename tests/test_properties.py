"""What every bijection must do, whatever is inside: one table of cases, one test per property."""

import pytest
import torch

from cases import CASES, WITH_PARAMETERS, generator, jacobian
from pushforward.flows import Flow, load_flow
from pushforward.metrics import round_trip

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
trainable = pytest.mark.parametrize("case", WITH_PARAMETERS.values(), ids=WITH_PARAMETERS)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def flow_of(case, dtype=torch.float64):
    return Flow(case.build(dtype)).eval()


@every
def test_there_and_back_in_both_directions(case):
    flow, points = flow_of(case), case.points()
    assert round_trip(flow, points).max_abs < case.round_trip
    with torch.no_grad():
        again = flow.bijection(flow.bijection.inverse(points))
    assert (again - points).abs().max() < case.round_trip


@every
def test_there_and_back_in_float32(case):
    assert round_trip(flow_of(case, torch.float32), case.points(dtype=torch.float32)).max_abs < 1e-5


@every
def test_log_det_is_that_of_the_autograd_jacobian(case):
    bijection, points = flow_of(case).bijection, case.points()
    _, log_det = bijection.forward_and_log_det(points)
    sign, expected = torch.linalg.slogdet(jacobian(bijection, points))
    assert (sign == 1).all()
    torch.testing.assert_close(log_det.detach(), expected, rtol=0, atol=1e-8)


@every
def test_forward_and_log_det_has_the_points_of_forward(case):
    bijection, points = flow_of(case).bijection, case.points()
    with torch.no_grad():
        # An adaptive solver picks other steps when the log-determinant travels along.
        torch.testing.assert_close(bijection.forward_and_log_det(points)[0], bijection(points), rtol=0, atol=1e-9)


@every
def test_log_prob_is_the_change_of_variables(case):
    flow, points = flow_of(case), case.points()
    with torch.no_grad():
        z, log_det = flow.bijection.forward_and_log_det(points)
        normal = torch.distributions.MultivariateNormal(torch.zeros_like(z[0]), torch.eye(case.dim, dtype=z.dtype))
        torch.testing.assert_close(flow.log_prob(points), normal.log_prob(z) + log_det)


@every
def test_rows_do_not_see_each_other(case):
    flow, points = flow_of(case), case.points()
    with torch.no_grad():
        torch.testing.assert_close(flow.log_prob(points)[3:5], flow.log_prob(points[3:5]), rtol=0, atol=1e-9)


@every
def test_a_path_leads_from_the_data_to_the_latent(case):
    bijection, points = flow_of(case).bijection, case.points()
    with torch.no_grad():
        path = bijection.path(points, 2)
        assert torch.equal(path[0], points)
        torch.testing.assert_close(path[-1], bijection(points), rtol=0, atol=1e-12)
        finer = bijection.path(points, 4)
    blocks = len(getattr(bijection, "blocks", [bijection]))
    assert finer.shape == (1 + 3 * blocks, len(points), case.dim)


@trainable
def test_gradient_reaches_every_parameter_and_is_that_of_central_differences(case):
    flow, points = flow_of(case), case.points()
    parameters = list(flow.parameters())
    gradients = torch.autograd.grad(flow.log_prob(points).mean(), parameters)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    random, step = generator(1), 1e-5
    directions = [torch.randn(p.shape, generator=random, dtype=p.dtype) for p in parameters]
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += sign * step * direction
            values.append(flow.log_prob(points).mean())
    slope = (values[0] - values[1]) / (2 * step)
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-7)


@trainable
def test_gradient_in_the_points_is_that_of_central_differences(case):
    flow, points = flow_of(case), case.points().requires_grad_()
    gradient = torch.autograd.grad(flow.log_prob(points).sum(), points)[0]
    direction, step = torch.randn(points.shape, generator=generator(2), dtype=points.dtype), 1e-5
    with torch.no_grad():
        slope = (flow.log_prob(points + step * direction) - flow.log_prob(points - step * direction)) / (2 * step)
    torch.testing.assert_close(slope, (gradient * direction).sum(1), rtol=1e-6, atol=1e-7)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_dtype_in_is_dtype_out(case, dtype):
    flow, points = flow_of(case, dtype), case.points(dtype=dtype)
    with torch.no_grad():
        z, log_det = flow.bijection.forward_and_log_det(points)
        found = [z, log_det, flow.bijection(points), flow.bijection.inverse(points), flow.bijection.path(points, 3)]
        found += [flow.log_prob(points), flow.sample(4, generator())]
    assert {tensor.dtype for tensor in found} == {dtype}


@every
def test_float32_agrees_with_float64(case):
    points = case.points()
    with torch.no_grad():
        double = flow_of(case).log_prob(points)
        single = flow_of(case, torch.float32).log_prob(points.float())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


@every
def test_same_seed_same_sample(case):
    flow = flow_of(case)
    first, second, other = (flow.sample(8, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.isclose(first, other).any()
    assert not first.requires_grad


@every
def test_saved_and_loaded_is_the_same_flow_to_the_bit(case, tmp_path):
    flow, points = flow_of(case), case.points()
    loaded = load_flow(flow.save(tmp_path / "flow"))
    assert not loaded.training
    assert {k: v.tolist() for k, v in loaded.state_dict().items()} == {
        k: v.tolist() for k, v in flow.state_dict().items()
    }
    with torch.no_grad():
        assert torch.equal(loaded.log_prob(points), flow.log_prob(points))
    assert torch.equal(loaded.sample(8, generator()), flow.sample(8, generator()))


@needs_cuda
@every
def test_cuda_agrees_with_the_cpu(case):
    flow, points = flow_of(case), case.points()
    with torch.no_grad():
        here, sample = flow.log_prob(points), flow.sample(8, generator())
        flow.to("cuda")
        there = flow.log_prob(points.to("cuda"))
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(flow.sample(8, generator()).cpu(), sample, rtol=1e-9, atol=1e-9)
