"""Masks of every format and depth, noise, and another size."""

import numpy as np
import pytest
from PIL import Image

from hdnet.transforms import errors
from hdnet.transforms.codecs import decode, label_maps, mask
from hdnet.transforms.pixels import image
from tests import pictures

SOFT = np.clip(np.arange(16) * 40 - 160, 0, 255).astype(np.uint8)[None].repeat(12, axis=0)


def write(kind: str, depth: int, channels: int) -> bytes:
    grey: pictures.Samples = SOFT.astype(np.uint16) * np.uint16(257) if depth == 16 else SOFT
    pixels: pictures.Samples = np.repeat(grey[..., None], channels, axis=2)
    if channels == 4:
        pixels[..., :3] = [9, 100, 200]  # a cut-out: what it is of does not matter
    return pictures.png(pixels) if kind == "png" else pictures.tiff(pixels, deflate=True)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_soft_edges_are_read_from_every_kind(kind, depth, channels):
    assert np.array_equal(mask.decode_mask(write(kind, depth, channels), "m"), SOFT)


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp_is_read_as_it_is(channels):
    pixels = np.repeat(SOFT[..., None], channels, axis=2)
    assert np.array_equal(mask.decode_mask(pictures.pillow(pixels, "WEBP", lossless=True, exact=True), "m"), SOFT)


@pytest.mark.parametrize("kind, options", [("JPEG", {"quality": 75}), ("JPEG", {"quality": 90}), ("WEBP", {})])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_around_black_and_white_is_neither(kind, options, channels):
    distance = np.hypot(*np.ogrid[-32:32, -32:32])
    disc = distance < 20
    pixels = np.repeat(disc[..., None] * np.uint8(255), channels, axis=2)
    found = mask.decode_mask(pictures.pillow(pixels, kind, **options), "m")
    far = np.abs(distance - 20) > 2
    assert (found[far] == pixels[far][..., 0]).mean() > (0.97 if options == {"quality": 75} else 0.999)
    assert (image.threshold(found) == disc).mean() > 0.99
    assert not ((found > 0) & (found < 16)).any() and not ((found > 239) & (found < 255)).any()


def test_a_real_soft_edge_survives_jpeg():
    found = mask.decode_mask(pictures.pillow(SOFT[..., None], "JPEG", quality=90), "m").astype(int)
    assert np.abs(found - SOFT).max() < 20 and np.unique(found).size > 5


def test_small_values_of_a_lossless_mask_stay():
    pixels = np.array([[[0], [1], [7], [248], [254]]], np.uint8)
    assert mask.decode_mask(pictures.png(pixels), "m").tolist() == [[0, 1, 7, 248, 254]]


def test_an_empty_jpeg_mask_is_empty():
    noise = np.random.default_rng(0).integers(0, 2, (16, 16, 1), dtype=np.uint8)
    assert not mask.decode_mask(pictures.pillow(noise, "JPEG", quality=100), "m").any()


@pytest.mark.parametrize("orientation, shape", [(1, (12, 16)), (6, (16, 12))])
def test_orientation_turns_the_mask(orientation, shape):
    data = pictures.tiff(SOFT[..., None], t274=orientation)
    assert mask.decode_mask(data, "m.tif").shape == shape


def test_coloured_lossy_mask_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"m\.jpg is a coloured mask"):
        mask.decode_mask(pictures.pillow(Image.new("RGB", (8, 8), "red"), "JPEG"), "m.jpg")


@pytest.mark.parametrize("height, width", [(24, 32), (6, 8), (120, 160), (12, 16)])
def test_the_same_picture_at_another_scale_is_resized(height, width):
    found = mask.resize_mask_to(SOFT, height, width)
    assert found.shape == (height, width) and found.dtype == np.uint8
    assert (found[:, 0] == 0).all() and (found[:, -1] == 255).all()
    assert np.abs(found.mean() - SOFT.mean()) < 4 and (np.diff(found[0].astype(int)) >= 0).all()


def test_one_percent_is_the_same_aspect_ratio():
    wide = np.zeros((100, 200), np.uint8)
    assert mask.resize_mask_to(wide, 50, 101).shape == (50, 101)
    with pytest.raises(errors.ShapeError, match="m.png is 200 x 100, its image 102 x 50: another aspect ratio"):
        mask.resize_mask_to(wide, 50, 102, name="m.png")


def test_resizing_must_be_asked_for():
    assert mask.resize_mask_to(SOFT, 12, 16, allowed=False) is SOFT
    with pytest.raises(errors.ShapeError, match="16 x 12, its image 32 x 24: .*--resize-mask"):
        mask.resize_mask_to(SOFT, 24, 32, allowed=False)


@pytest.mark.filterwarnings("error")
def test_palette_with_transparency_keeps_its_colours_and_is_a_mask():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    data = pictures.pillow(palette, transparency=b"\x80\x40")
    assert decode.decode_image(data, "p.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert mask.decode_mask(data, "p.png").tolist() == [[0x80, 0x40]]
    palette_index = mask.decode_mask(data, "p.png", reading=mask.Reading(1))
    assert palette_index.tolist() == [[0, 255]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_grey_mask_is_read_from_any_mode(mode):
    data = pictures.pillow(pictures.grey(0, 100, 255).convert(mode))
    assert mask.decode_mask(data, "m.png").tolist() == [[0, 100, 255]]


def test_one_bit_mask_is_black_and_white():
    assert mask.decode_mask(pictures.pillow(Image.fromarray(np.array([[False, True]]))), "m.png").tolist() == [[0, 255]]


def test_mask_of_zeros_and_ones_is_stretched():
    assert mask.decode_mask(pictures.pillow(pictures.grey(0, 1, 1)), "m.png").tolist() == [[0, 255, 255]]
    assert mask.decode_mask(pictures.pillow(pictures.grey(0, 1, 200)), "m.png").tolist() == [[0, 1, 200]]


def test_sixteen_bit_mask_is_rounded_to_eight():
    deep = np.array([[0, 128, 129, 32767, 32896, 65535]], np.uint16)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(deep)), "m.png").tolist() == [[0, 0, 1, 127, 128, 255]]
    ones = np.array([[0, 1]], np.uint16)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(ones)), "m.png").tolist() == [[0, 255]]


def test_alpha_is_the_mask_where_it_says_something():
    cut_out = np.array([[[200, 10, 10, 0], [200, 10, 10, 190]]], np.uint8)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(cut_out)), "m.png").tolist() == [[0, 190]]
    opaque = np.array([[[0, 0, 0, 255], [190, 190, 190, 254]]], np.uint8)
    assert mask.decode_mask(pictures.pillow(Image.fromarray(opaque)), "m.png").tolist() == [[0, 190]]


def test_one_transparent_colour_is_not_a_mask():
    rgb = pictures.grey(0, 190).convert("RGB")
    assert mask.decode_mask(pictures.pillow(rgb, transparency=(0, 0, 0)), "m.png").tolist() == [[0, 190]]


def test_coloured_mask_is_an_error():
    with pytest.raises(errors.DecodeError, match=r"red\.png is a coloured mask"):
        mask.decode_mask(pictures.pillow(Image.new("RGB", (2, 2), "red")), "red.png")


def labels(*values: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> np.ndarray:
    """Bands of these values, each eight pixels wide."""
    return np.repeat(np.array([values], dtype), 8, axis=1).repeat(8, axis=0)


def refused(values: np.ndarray) -> str:
    with pytest.raises(errors.DecodeError) as caught:
        mask.decode_mask(pictures.pillow(Image.fromarray(values)), "m.png")
    return str(caught.value)


@pytest.mark.parametrize("values, words", [
    ((0, 15, 255), "3 values (0, 15, 255): a label map; save the object as 255, or --mask-value 15 takes"),
    ((0, 1, 255), "3 values (0, 1, 255): a label map"),
    ((0, 128), "2 values (0, 128): a label map"),
    (tuple(range(21)) + (255,), "22 values (0, 1, 2, 3, 4, 5, 6, 7, ..., 255): a label map"),
])  # fmt: skip
def test_a_few_values_between_black_and_white_are_a_label_map(values, words):
    assert words in refused(labels(*values))


@pytest.mark.parametrize("many", [np.arange(240) + 1, np.random.default_rng(0).integers(30, 250, 240)])
def test_many_objects_with_numbers_of_their_own_are_a_label_map(many):
    numbered = many.astype(np.uint8).reshape(12, 20).repeat(8, axis=0).repeat(8, axis=1)
    assert "a label map; save the object as 255, or --mask-value" in refused(numbered)


def areas(*values: int) -> Image.Image:
    """Return bands of these values, wide enough to be seen after compression."""
    return Image.fromarray(np.repeat(np.array([values], np.uint8), 40, axis=1).repeat(48, axis=0))


@pytest.mark.parametrize(
    "kind, options", [("JPEG", {"quality": 75}), ("JPEG", {"quality": 95}), ("WEBP", {}), ("AVIF", {})]
)
@pytest.mark.parametrize("values, named", [((0, 15, 255), 15), ((0, 100, 200), 100), ((0, 128), 128), ((0, 20), 20),
                                           ((0, 5), 5), ((16, 235, 16), 16), ((0, 128, 255), 128)])  # fmt: skip
def test_label_maps_compressed_with_loss_are_refused(values, named, kind, options):
    message = r"^m\.jpg has areas of about (\d+): a label map that was compressed with loss, or .* in a PNG$"
    with pytest.raises(errors.DecodeError, match=message) as caught:
        mask.decode_mask(pictures.pillow(areas(*values), kind, **options), "m.jpg")
    assert any(abs(int(str(caught.value).split("about ")[1].partition(":")[0]) - value) <= 2 for value in values)
    assert named in values


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("sigma", [1, 5, 20, 60])
def test_soft_edges_compressed_with_loss_are_masks(kind, sigma):
    distance = np.hypot(*np.ogrid[-200:200, -300:300])
    soft = np.rint(255 / (1 + np.exp((distance - 150) / sigma))).astype(np.uint8)
    for black in (0, 8):  # as a scanner's
        found = mask.decode_mask(pictures.pillow(Image.fromarray(np.maximum(soft, black)), kind), "m")
        assert abs((found >= 128).mean() - (soft >= 128).mean()) < 0.01


def test_resized_label_maps_are_label_maps():
    small = Image.fromarray(labels(0, 15, 255)).resize((60, 40), Image.Resampling.BILINEAR)
    assert "a label map" in refused(np.asarray(small))


@pytest.mark.parametrize("values, dtype, words", [
    ((0, 2), np.uint8, "its largest value is 2: no pixel is foreground; save the object as 255, or --mask-value 2"),
    ((0, 3, 20), np.uint8, "its largest value is 20: no pixel is foreground"),
    ((0, 255), np.uint16, "its largest value is 255 of 65535: no pixel is foreground"),
    ((0, 4095), np.uint16, "its largest value is 4095 of 65535"),
])  # fmt: skip
def test_a_mask_without_foreground_that_is_not_empty_is_an_error(values, dtype, words):
    assert words in refused(labels(*values, dtype=dtype))


def test_a_faint_cut_out_is_an_error_too():
    for alpha in (90, 9):
        cut_out = np.dstack([labels(80, 200)] * 3 + [labels(0, alpha)])
        assert f"its largest value is {alpha}: no pixel is foreground" in refused(cut_out)


@pytest.mark.parametrize("values", [(0, 255), (255, 255), (0, 0), (0, 1), (0, 254), (0, 250)])
def test_masks_of_two_values_are_masks(values):
    mask.from_values(labels(*values), "m")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edges_of_few_values_are_soft(scale):
    disc = np.hypot(*np.ogrid[-60:60, -60:60]) < 40
    small = disc.reshape(120 // scale, scale, 120 // scale, scale).mean(axis=(1, 3))
    mask.from_values(np.rint(small * 255).astype(np.uint8), "m")


@pytest.mark.parametrize("sigma", [5, 60])
def test_a_wide_blur_is_soft(sigma):
    distance = np.hypot(*np.ogrid[-200:200, -200:200])
    mask.from_values(np.rint(255 / (1 + np.exp((distance - 100) / sigma))).astype(np.uint8), "m")


def test_grey_that_is_off_by_one_is_grey():
    white = np.where(labels(0, 255)[..., None] > 0, np.array([255, 255, 254], np.uint8), np.uint8(0))
    assert np.array_equal(mask.decode_mask(pictures.pillow(Image.fromarray(white)), "m.png"), labels(0, 255))


def test_grey_and_alpha_must_not_be_two_masks():
    grey, alpha = labels(0, 255, 0, 0), labels(0, 0, 255, 255)
    assert "two masks, its grey values and its alpha channel, which differ in 192 pixels" in refused(
        np.dstack([grey, grey, grey, alpha])
    )
    inverse = np.dstack([255 - alpha] * 3 + [alpha])  # a black silhouette on white that nobody sees
    assert "two masks" in refused(inverse)


def test_alpha_that_is_nowhere_opaque_and_flat_is_an_overlay():
    red = np.dstack([labels(0, 255), labels(0, 0), labels(0, 0), labels(0, 128)])
    assert "is nowhere opaque, and its alpha channel has 2 values (0, 128), as an overlay on a photo" in refused(red)
    glass = np.dstack([labels(9, 80, 9)] * 3 + [labels(0, 128, 255)])
    assert np.array_equal(mask.decode_mask(pictures.pillow(Image.fromarray(glass)), "m"), labels(0, 128, 255))


def test_a_background_that_is_not_black_is_not_named_as_the_class_to_take():
    assert "--mask-value 235 takes that class" in refused(labels(16, 235, 16))


def test_a_grey_photo_that_is_cut_out_is_no_second_mask():
    alpha = labels(0, 255)
    photo = np.random.default_rng(0).integers(0, 256, alpha.shape, np.uint8)
    data = pictures.pillow(Image.fromarray(np.dstack([photo, alpha])))
    assert np.array_equal(mask.decode_mask(data, "m.png"), alpha)


def test_one_class_of_a_label_map_is_taken_by_its_value():
    data = pictures.pillow(Image.fromarray(labels(0, 15, 255)))
    assert np.array_equal(mask.decode_mask(data, "m.png", reading=mask.Reading(15)), labels(0, 255, 0))
    assert np.array_equal(mask.decode_mask(data, "m.png", reading=mask.Reading(15, invert=True)), labels(255, 0, 255))
    with pytest.raises(errors.DecodeError, match=r"no pixel of the value 3, but 3 values \(0, 15, 255\)"):
        mask.decode_mask(data, "m.png", reading=mask.Reading(3))
    lossy = pictures.pillow(Image.fromarray(labels(0, 15, 255)), "JPEG")
    with pytest.raises(errors.DecodeError, match="compressed with loss, so it holds no exact value 15"):
        mask.decode_mask(lossy, "m.jpg", reading=mask.Reading(15))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_the_value_of_a_palette_is_its_index(kind):
    palette = Image.fromarray(labels(0, 2, 1))
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    data = pictures.pillow(palette, kind)
    assert np.array_equal(mask.decode_mask(data, "m", reading=mask.Reading(2)), labels(0, 255, 0))


def test_a_mask_of_the_background_is_inverted():
    data = pictures.pillow(Image.fromarray(SOFT))
    assert np.array_equal(mask.decode_mask(data, "m.png", reading=mask.Reading(invert=True)), 255 - SOFT)


def test_a_mask_of_the_pixels_as_stored_is_named():
    with pytest.raises(errors.ShapeError, match="turned by its EXIF orientation 6; the mask fits it as stored"):
        mask.resize_mask_to(SOFT, 16, 12, orientation=6)
    with pytest.raises(errors.ShapeError, match="another aspect ratio"):
        mask.resize_mask_to(SOFT, 16, 12, orientation=3)


@pytest.mark.parametrize("values", [[0, 255, 255], [0, 1, 7, 7, 255], [7]])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_is_counted(values, dtype):
    plane = np.array([values], dtype) * np.iinfo(dtype).max // 255
    counts = label_maps.histogram(plane)
    assert counts.tolist() == np.bincount(plane.ravel(), minlength=np.iinfo(dtype).max + 1).tolist()
