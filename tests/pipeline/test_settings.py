"""The options that decide an image, as they are recorded, and which of them make an image out of date."""

import json

import pytest

from hdnet.pipeline.settings import ImageOptions, recorded_reading
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs.mask import Reading

OLD = '{"format": "same", "network": "", "precision": "float32", "quality": 95, "resize_mask": false}'
"""What programs recorded before masks were moved and seams mended."""
RECORDED = {**json.loads(OLD), "method": 3}
"""What finished catalogs hold since; they must stay up to date."""


def test_the_options_are_recorded_as_finished_catalogs_hold_them():
    assert json.loads(ImageOptions().record()) == RECORDED


def test_a_row_says_more_of_its_pair_than_the_command():
    options = ImageOptions(mask_value=15)
    assert options.of(Pair("a", "a.png", "m.png")) is options
    own = options.of(Pair("a", "a.png", "m.png", mask_value=3, invert_mask=True, extra=(("strength", "0"),)))
    assert own.reading == recorded_reading(own.record()) == Reading(3, invert=True) and own.strength == 0
    assert recorded_reading(ImageOptions().record()) == Reading()


@pytest.mark.parametrize(
    ("now", "then", "output", "same"),
    [
        ({}, {}, "a.jpg", True),
        ({"precision": "bfloat16"}, {}, "a.jpg", False),
        ({}, {"label": 1}, "a.jpg", False),
        ({"mask_value": 3}, {"mask_value": 3}, "a.jpg", True),
        ({"invert_mask": True}, {}, "a.jpg", False),
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
    record = json.dumps({**RECORDED, **then})
    assert ImageOptions(**now).would_repeat(record, output) is same


def test_images_of_before_are_made_again():
    assert not ImageOptions().would_repeat(OLD, "a.png")
