import torch

from pushforward.objectives import JKOObjective, Loss, Objective


def test_the_total_is_the_sum_of_the_terms_and_carries_their_gradients():
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(-0.5, requires_grad=True)
    loss = Loss({"potential": 3 * a, "volume": b})
    assert loss.total.item() == 5.5
    loss.total.backward()
    assert (a.grad.item(), b.grad.item()) == (3.0, 1.0)


def test_an_objective_is_anything_that_is_called_so():
    assert isinstance(JKOObjective(None, 1.0), Objective)
