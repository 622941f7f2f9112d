import torch

from pushforward.seeds import seeded, stream


def test_a_purpose_has_numbers_of_its_own_and_always_the_same():
    def drawn(seed, purpose):
        return torch.rand(4, generator=stream(seed, purpose))

    assert torch.equal(drawn(0, "noise"), drawn(0, "noise"))
    assert not torch.equal(drawn(0, "noise"), drawn(0, "init"))
    assert not torch.equal(drawn(0, "noise"), drawn(1, "noise"))


def test_seeded_draws_from_the_stream_of_its_purpose_and_leaves_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(2, "init"):
        inside = torch.rand(6)
    assert torch.equal(inside, torch.rand(6, generator=stream(2, "init")))
    assert torch.equal(torch.rand(3), expected)
