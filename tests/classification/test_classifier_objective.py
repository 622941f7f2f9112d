import math

import pytest
import torch

from cases import generator, normal
from pushforward.classification.objective import CrossEntropy, labelled_rows, mirrored, shifted

SHAPE = (2, 3, 4)


def images(n=50):
    return normal(n, *SHAPE)


def by_hand(image, down, right):
    """The image seen through its frame moved by (down, right), zeros beyond it."""
    out = torch.zeros_like(image)
    for i in range(image.shape[1]):
        for j in range(image.shape[2]):
            if 0 <= i + down < image.shape[1] and 0 <= j + right < image.shape[2]:
                out[:, i, j] = image[:, i + down, j + right]
    return out


def test_the_loss_is_minus_the_log_probability_of_the_right_class():
    scores = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    labels, x = torch.tensor([2, 1]), normal(2, 24)
    seen = []

    def network(points):
        seen.append(points)
        return scores

    loss = CrossEntropy(network, SHAPE)(labelled_rows(x, labels), generator())
    expected = (math.log(math.exp(1 - 4) + math.exp(2 - 4) + 1) + math.log(3)) / 2
    assert float(loss.total) == pytest.approx(expected, rel=1e-12)
    assert list(loss.terms) == ["cross-entropy"]
    assert torch.equal(seen[0], x)


def test_labels_survive_float32():
    labels = torch.tensor([0, 9, 99, 2**24 - 1])
    rows = labelled_rows(torch.zeros(4, 2), labels)
    assert rows.shape == (4, 3) and torch.equal(rows[:, -1].long(), labels)


def test_every_shift_is_one_of_the_allowed_and_all_occur():
    x = images()
    found = shifted(x, 1, generator())
    offsets = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    met = set()
    for image, moved in zip(x, found, strict=True):
        fitting = [offset for offset in offsets if torch.equal(moved, by_hand(image, *offset))]
        assert len(fitting) == 1
        met.add(fitting[0])
    assert met == set(offsets)


def test_every_mirroring_is_left_to_right_and_about_half_are():
    x = images(200)
    found = mirrored(x, generator())
    same = (found == x).flatten(1).all(1)
    turned = (found == x.flip(3)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert 70 < int(same.sum()) < 130


def test_augmentation_is_drawn_from_the_given_stream():
    rows = labelled_rows(normal(8, 24), torch.arange(8))
    seen = []

    def network(points):
        seen.append(points)
        return points[:, :8]

    objective = CrossEntropy(network, SHAPE, crop=1, flip=True)
    for seed in (0, 0, 1):
        objective(rows, generator(seed))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], rows[:, :-1])
