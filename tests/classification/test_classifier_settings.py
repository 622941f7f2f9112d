import pytest

from pushforward.classification import Classifier
from pushforward.classification.settings import CIFAR
from pushforward.errors import InputError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "resnet"}, "method 'resnet' is unknown, expected one of impflow, resflow, vanilla"),
        ({"coeff": 1.0}, "coeff is 1.0"),
        ({"stages": ()}, "expected one or more pairs"),
        ({"stages": ((4, 4, 4),)}, "expected one or more pairs"),
        ({"stages": ((0, 4),)}, "expected one or more pairs"),
        ({"stages": ((4, 4), (8, 8))}, "stage 1 begins with 8 channels, expected 4"),
        ({"stages": ((4, 8), (4, 8), (4, 8))}, "stage 2 begins with 4 channels, expected 8"),
        ({"crop": -1}, "crop=-1"),
        ({"stem_stride": 0}, "stem_stride=0"),
        ({"norm_iterations": 0}, "norm_iterations=0"),
        ({"norm_tolerance": 0.0}, "norm_tolerance=0.0"),
        ({"solver": {"kind": "bisection"}}, "bisection"),
    ],
)
def test_what_cannot_be_used_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Classifier(**settings)


def test_stages_come_as_lists_from_a_file():
    assert Classifier(stages=[[4, 8], [4, 6]]) == Classifier(stages=((4, 8), (4, 6)))
    assert Classifier().stages == CIFAR
