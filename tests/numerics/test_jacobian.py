import torch

from cases import jacobian, normal
from pushforward.numerics import velocity_and_jacobian
from pushforward.numerics.jacobian import velocity_and_tangent

X = normal(5, 3)


def field(t, x):
    return torch.stack([x[:, 0] * x[:, 1], torch.sin(x[:, 2]) * t, x[:, 0] + x[:, 1] * x[:, 2] ** 2], 1)


def test_columns_are_inputs_and_rows_are_outputs():
    v, found = velocity_and_jacobian(field, 0.5, X)
    torch.testing.assert_close(v, field(0.5, X))
    torch.testing.assert_close(found, jacobian(lambda x: field(0.5, x), X))
    assert not torch.allclose(found, found.mT)


def test_a_tangent_is_the_jacobian_times_the_direction():
    direction = normal(5, 3, seed=1)
    v, tangent = velocity_and_tangent(field, 0.5, X, direction)
    torch.testing.assert_close(v, field(0.5, X))
    torch.testing.assert_close(tangent, (jacobian(lambda x: field(0.5, x), X) @ direction[..., None])[..., 0])


def test_a_velocity_with_its_own_formulas_answers_itself():
    class Own:
        def velocity_and_jacobian(self, t, x):
            return "jacobian", t, x

        def velocity_and_tangent(self, t, x, direction):
            return "tangent", t, x, direction

    assert velocity_and_jacobian(Own(), 0.25, X) == ("jacobian", 0.25, X)
    assert velocity_and_tangent(Own(), 0.25, X, X) == ("tangent", 0.25, X, X)
