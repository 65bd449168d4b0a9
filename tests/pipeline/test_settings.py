"""What decides an image, as records keep it."""

from hdnet.pipeline.settings import ImageOptions


def test_the_key_is_the_one_that_finished_catalogs_hold():
    assert ImageOptions(network='["hdnet-lite", {}]').key() == (
        '{"format": "same", "network": "[\\"hdnet-lite\\", {}]", "precision": "float32", "quality": 95,'
        ' "resize_mask": false}'
    )
