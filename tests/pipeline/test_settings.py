"""What decides an image, as records keep it."""

from hdnet.pipeline.settings import ImageOptions, recorded_reading
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs.mask import Reading


def test_the_key_is_the_one_that_finished_catalogs_hold():
    assert ImageOptions(network='["hdnet-lite", {}]').key() == (
        '{"format": "same", "network": "[\\"hdnet-lite\\", {}]", "precision": "float32", "quality": 95,'
        ' "resize_mask": false}'
    )


def test_a_row_says_more_of_its_mask_than_the_command():
    options = ImageOptions(mask_value=15)
    assert options.of(Pair("a", "a.png", "m.png")) is options
    own = options.of(Pair("a", "a.png", "m.png", mask_value=3, invert_mask=True))
    assert own.reading == recorded_reading(own.key()) == Reading(3, invert=True)
    assert recorded_reading(ImageOptions().key()) == Reading()
