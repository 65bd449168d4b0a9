"""Labels by name and number."""

import pytest

from hdnet.transforms.catalog import labels
from hdnet.transforms.errors import LabelError

CLASSES = ("person", "food")


@pytest.mark.parametrize("label, number", [("person", 0), ("Food", 1), ("1", 1), (0, 0)])
def test_a_label_is_a_name_or_a_number(label, number):
    assert labels.number_of(label, CLASSES) == number


@pytest.mark.parametrize("label", ["persn", "2", -1, 2, "1.0"])
def test_an_unknown_label_is_refused_with_the_known_ones(label):
    with pytest.raises(LabelError, match=r"is not a class .*: person \(0\), food \(1\)"):
        labels.number_of(label, CLASSES)


@pytest.mark.parametrize("label", [None, ""])
def test_a_missing_label_is_refused(label):
    with pytest.raises(LabelError, match=r"no label, .*: person \(0\)"):
        labels.number_of(label, CLASSES)


def test_without_classes_every_label_is_none():
    assert labels.number_of("anything", ()) is None and labels.number_of(None, ()) is None
