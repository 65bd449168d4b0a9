"""The options that decide an image, as they are recorded, and which of them make an image out of date."""

import json

import pytest

from hdnet.pipeline.settings import ImageOptions
from hdnet.transforms.catalog.manifest import Pair

PAIR = Pair("a", "a.jpg", "m.png")

OLD = '{"format": "same", "network": "", "precision": "float32", "quality": 95, "resize_mask": false}'
"""What the first program recorded; finished catalogs must stay up to date."""


def test_the_options_are_recorded_by_name():
    assert json.loads(ImageOptions().record(PAIR, resized=False)) == {**json.loads(OLD), "strength": 1.0}


@pytest.mark.parametrize(
    ("now", "then", "output", "same"),
    [
        ({}, {}, "a.jpg", True),
        ({"precision": "bfloat16"}, {}, "a.jpg", False),
        ({"classes": ("cat", "dog"), "label": "dog"}, {"label": 1}, "a.jpg", True),
        ({"classes": ("cat", "dog"), "label": "cat"}, {"label": 1}, "a.jpg", False),
        ({"network": "other"}, {}, "a.jpg", False),
        ({"strength": 0.5}, {}, "a.jpg", False),
        ({}, {"strength": 0.5}, "a.jpg", False),
        ({"resize_mask": True}, {}, "a.jpg", True),
        ({"resize_mask": True}, {"resize_mask": True}, "a.jpg", True),
        ({}, {"resize_mask": True}, "a.jpg", False),
        ({"quality": 90}, {}, "a.jpg", False),
        ({"quality": 90}, {}, "a.avif", False),
        ({"quality": 90}, {}, "a.png", True),
        ({"format": "png"}, {}, "a.png", True),
        ({"format": "png"}, {}, "a.jpg", False),
        ({}, {"format": "png"}, "a.png", False),
        ({}, {"option_of_tomorrow": 1}, "a.jpg", False),
    ],
)
def test_only_options_that_changed_the_bytes_make_an_image_again(now, then, output, same):
    record = json.dumps({**json.loads(OLD), **then})
    assert ImageOptions(**now).would_repeat(PAIR, record, output) is same
