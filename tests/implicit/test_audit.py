import math

import torch

from pushforward.implicit import Audit
from pushforward.implicit.root import RootResult


def result(bounds, converged):
    n = len(bounds)
    zero = torch.zeros(n, dtype=torch.bool)
    bound = torch.tensor(bounds, dtype=torch.float64)
    return RootResult(
        torch.full((n, 2), 3.0, dtype=torch.float64),
        bound / 2,
        bound,
        torch.arange(n),
        torch.tensor(converged),
        ~zero,
    )


def test_rows_are_counted_and_the_worst_bound_is_relative():
    audit = Audit()
    audit.add(result([0.3, 0.6, 0.1], [True, False, True]))
    audit.add(result([0.2], [True]))
    assert (audit.solves, audit.unconverged, audit.fallbacks, audit.iterations) == (4, 1, 4, 3)
    assert math.isclose(audit.worst, 0.6 / math.sqrt(18))


def test_a_bound_that_is_no_number_is_the_worst_of_all():
    audit = Audit()
    audit.add(result([math.nan], [False]))
    assert audit.worst == math.inf and audit.unconverged == 1


def test_a_solve_of_no_rows_counts_nothing():
    audit, one = Audit(worst=0.5), result([0.6], [True])
    audit.add(RootResult(*(values[:0] for values in vars(one).values())))
    assert audit == Audit(worst=0.5)


def test_audits_add_up_and_the_worst_stays_the_worst():
    total = sum([Audit(1, 2, 3, 4, 0.5), Audit(10, 20, 30, 40, 0.25)], Audit())
    assert total == Audit(11, 22, 33, 44, 0.5)


def test_the_state_brings_all_of_it_back():
    audit, again = Audit(2**40, 2, 3, 4, 1e-7), Audit()
    again.restore(audit.state())
    assert again == audit and isinstance(again.solves, int)
    audit.reset()
    assert audit == Audit()
