"""The one way to run a network."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hdnet.model import architectures
from hdnet.model.architectures.base import PaddedRenderer
from hdnet.model.harmonizer import Harmonizer, choose_device, choose_precision, read_mask
from hdnet.model.weights import weights_file
from hdnet.transforms import errors


@pytest.fixture
def harmonizer(tmp_path):
    torch.manual_seed(0)
    weights_file.save(architectures.build("hdnet-lite", {"width": 2}), tmp_path / "w.safetensors", {})
    return Harmonizer.load(tmp_path / "w.safetensors", device="cpu")


def pair(height: int, width: int, dtype: Any = np.uint8) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    composite = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : -height // 4, width // 4 : -width // 4] = 255
    mask[height // 4 : -height // 4, width // 4] = 128
    return composite, mask


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (33, 70)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_keeps_type_and_background(harmonizer, size, dtype):
    composite, mask = pair(size[0], size[1], dtype)
    result = harmonizer(composite, mask)
    assert result.dtype == dtype and result.shape == composite.shape
    assert np.array_equal(result[mask == 0], composite[mask == 0])
    assert (mask == 0).all() or not np.array_equal(result, composite)


def test_the_blend_follows_the_soft_mask(harmonizer):
    composite, mask = pair(16, 24)
    colours = harmonizer.colours(composite, mask)
    result = harmonizer(composite, mask)
    edge = mask == 128
    expected = composite[edge] + (colours[edge] - composite[edge]) * 128 / 255
    assert np.abs(result[edge] - expected).max() <= 0.51


def test_padding_repeats_the_edge(harmonizer):
    composite, mask = pair(13, 21)
    wide = np.pad(composite, ((0, 3), (0, 3), (0, 0)), mode="edge")
    result = harmonizer(wide, np.pad(mask, ((0, 3), (0, 3)), mode="edge"))
    assert np.array_equal(result[:13, :21], harmonizer(composite, mask))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_pil_images_keep_their_mode(harmonizer, mode):
    composite, mask = pair(16, 16)
    picture = Image.fromarray(composite).convert("RGBA")
    picture.putalpha(Image.fromarray(mask[::-1].copy()))
    picture = picture.convert(mode)
    result = harmonizer(picture, Image.fromarray(mask))
    assert result.mode == mode and result.size == picture.size
    if mode == "RGBA":
        assert result.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


def test_a_mask_of_zero_and_one_is_a_mask(harmonizer):
    composite, mask = pair(16, 16)
    hard = mask >= 128
    results = [harmonizer(composite, m) for m in (hard, hard.astype(np.uint8), hard.astype(np.uint16) * 65535)]
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_the_network_itself_gives_what_the_engine_gives(harmonizer):
    composite, mask = pair(13, 21)
    plain = PaddedRenderer.of(harmonizer.network, harmonizer.device, "float32")
    np.testing.assert_allclose(plain.colours(composite, mask), harmonizer.colours(composite, mask), atol=0.03)
    assert np.abs(plain(composite, mask).astype(int) - harmonizer(composite, mask)).max() <= 1


def test_bfloat16_is_close(harmonizer):
    composite, mask = pair(32, 32)
    half = Harmonizer(harmonizer.network, harmonizer.device, "bfloat16")
    difference = np.abs(half(composite, mask).astype(int) - harmonizer(composite, mask))
    assert 0 < difference.max() < 20


def test_threads_share_one_instance(harmonizer):
    cases = [pair(16, 8 * n) for n in range(1, 7)]
    alone = [harmonizer(*case) for case in cases]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda case: harmonizer(*case), cases))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    "composite, mask, said",
    [
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9), np.uint8), r"\(8, 9\)"),
        (np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8), np.uint8), r"\(8, 8, 4\)"),
        (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), "float32"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32), "float32"),
        (Image.new("CMYK", (8, 8)), Image.new("L", (8, 8)), "CMYK"),
    ],
)
def test_what_does_not_fit_is_named(harmonizer, composite, mask, said):
    with pytest.raises(errors.ShapeError, match=said):
        harmonizer(composite, mask)


def test_a_result_that_is_not_finite_is_an_error(harmonizer):
    torch.nn.init.constant_(harmonizer.network.out.bias, float("nan"))
    with pytest.raises(errors.HarmonizeError, match="not finite"):
        harmonizer(*pair(16, 16))


@pytest.mark.parametrize("instruction, expected", [("avx512_bf16", "bfloat16"), ("avx2", "float32")])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, instruction, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True})
    assert choose_precision("auto", torch.device("cpu")) == expected
    assert choose_precision("float32", torch.device("cpu")) == "float32"


def test_unknown_devices_and_precisions_are_refused():
    with pytest.raises(ValueError, match="tpu9"):
        choose_device("tpu9")
    with pytest.raises(ValueError, match="float16"):
        Harmonizer.load("hdnet-lite", precision="float16")  # type: ignore[arg-type]


def test_the_estimate_counts_the_padding():
    thin = Harmonizer.load("hdnet-lite", precision="float32").estimate(1, 1_000_000)
    assert thin == Harmonizer.load("hdnet-lite", precision="float32").estimate(8, 1_000_000)


def test_a_process_forked_after_use_works_too(harmonizer):
    composite, mask = pair(300, 450)
    expected = harmonizer(composite, mask)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=lambda: results.put(harmonizer(composite, mask)))
    child.start()
    try:
        assert np.abs(results.get(timeout=120).astype(int) - expected).max() <= 1
    finally:
        child.kill()
        child.join()


def test_pil_masks_of_every_mode_are_read_as_files_are(harmonizer, tmp_path):
    hard = np.zeros((16, 24), np.uint8)
    hard[4:12, 6:18] = 255
    palette = Image.fromarray(hard // 255)
    palette.putpalette([0, 0, 0, 255, 255, 255])
    white = np.full((16, 24, 3), 255, np.uint8)
    pictures = [
        Image.fromarray(hard), Image.fromarray(hard).convert("1"), Image.fromarray(hard).convert("RGB"), palette,
        Image.fromarray(hard.astype(np.uint16) * 257), Image.fromarray(np.dstack([white, hard])),
        Image.fromarray(np.dstack([white * 0, hard])), Image.fromarray(np.dstack([hard, hard]), "LA"),
    ]  # fmt: skip
    composite = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    expected = harmonizer(composite, hard)
    for picture in pictures:
        picture.save(tmp_path / "mask.png")
        assert np.array_equal(read_mask(tmp_path / "mask.png"), hard), picture.mode
        assert np.array_equal(read_mask(picture), hard), picture.mode
        assert np.array_equal(harmonizer(composite, picture), expected), picture.mode


def test_what_is_no_mask_is_refused_in_python_too(harmonizer):
    composite, labels = np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 15, np.uint8)
    labels[4:] = 255
    for mask in (labels, Image.fromarray(labels)):
        with pytest.raises(errors.DecodeError, match="the mask has 2 values .15, 255.: a label map"):
            harmonizer(composite, mask)
    assert read_mask(Image.fromarray(labels), value=15, invert=True).tolist() == [[0] * 8] * 4 + [[255] * 8] * 4
    with pytest.raises(errors.DecodeError, match="values of mode F"):
        harmonizer(composite, Image.new("F", (8, 8)))
