"""One image, without a manifest."""

import io
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hdnet.pipeline import photo, run, status
from tests.catalogs import write_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photo")
    write_weights(root / "tiny.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(root / "photo.png")
    mask = Image.new("L", (32, 24))
    mask.paste(255, (8, 8, 20, 16))
    mask.save(root / "mask.png")
    cutout = Image.new("RGBA", (32, 24))
    cutout.paste((200, 40, 40, 255), (8, 8, 20, 16))
    cutout.save(root / "cutout.png")
    return root


def harmonize(folder, *arguments, **more):
    weights = ("--weights", str(folder / "tiny.safetensors"))
    return CliRunner().invoke(photo.main, [*map(str, arguments), *weights], **more)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_a_photo_and_its_mask_become_an_image_in_the_format_that_its_name_says(folder, tmp_path):
    result = harmonize(folder, folder / "photo.png", folder / "mask.png", "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"{tmp_path}/out.png: 32 x 24\n")
    before, after, mask = pixels(folder / "photo.png"), pixels(tmp_path / "out.png"), pixels(folder / "mask.png")
    assert (after[mask == 0] == before[mask == 0]).all() and (after[mask > 0] != before[mask > 0]).any()
    assert harmonize(folder, folder / "photo.png", folder / "mask.png", "-o", tmp_path / "out.jpg").exit_code == 0
    assert (tmp_path / "out.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_the_strength_is_the_share_of_the_change(folder, tmp_path):
    for strength in (0, 0.5, 1):
        arguments = (folder / "photo.png", folder / "mask.png", "-o", tmp_path / f"{strength}.png")
        assert harmonize(folder, *arguments, "--strength", strength).exit_code == 0
    none, half, whole = (pixels(tmp_path / f"{strength}.png") for strength in (0, 0.5, 1))
    assert (none == pixels(folder / "photo.png")).all() and abs(2 * half - none - whole).max() <= 1


def test_a_cut_out_is_pasted_over_its_background_and_its_transparency_is_the_mask(folder, tmp_path):
    arguments = (folder / "cutout.png", "--background", folder / "photo.png", "-o", tmp_path / "out.png")
    assert harmonize(folder, *arguments, "--strength", 0).exit_code == 0
    expected = pixels(folder / "photo.png")
    expected[8:16, 8:20] = (200, 40, 40)
    assert (pixels(tmp_path / "out.png") == expected).all()


def test_standard_input_and_output(folder):
    given = (folder / "photo.png").read_bytes()
    result = harmonize(folder, "-", folder / "mask.png", "-o", "-", input=given)
    assert result.exit_code == 0, result.output
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (32, 24)


def test_what_looks_wrong_is_said(folder, tmp_path):
    Image.new("L", (32, 24), 255).save(tmp_path / "all.png")
    result = harmonize(folder, folder / "photo.png", tmp_path / "all.png", "-o", tmp_path / "out.png")
    assert result.exit_code == 0 and "look at it: the mask is all background or all object" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["photo.png", "-o", "out.png"], 2, "give MASK, or --background"),
        (["photo.png", "mask.png", "--background", "photo.png", "-o", "out.png"], 2, "give MASK, or --background"),
        (["-", "-", "-o", "out.png"], 2, "only one file"),
        (["photo.png", "mask.png", "-o", "out.gif"], 2, "out.gif: a name that ends with one of .jpg"),
        (["photo.png", "mask.png", "-o", "out.png", "--format", "jpeg"], 2, "--format jpeg and --output out.png name"),
        (["photo.png", "mask.png", "-o", "./photo.png"], 2, "is one of the files that are read"),
        (["gone.png", "mask.png", "-o", "out.png"], 1, "gone.png cannot be read"),
        (["tiny.safetensors", "mask.png", "-o", "out.png"], 1, "tiny.safetensors"),
        (["photo.png", "--background", "photo.png", "-o", "out.png"], 1, "no transparency"),
        (["cutout.png", "--background", "photo.png", "-o", "out.png", "--invert-mask"], 2, "--invert-mask: with"),
        (["photo.png", "small.png", "-o", "out.png"], 1, "another aspect ratio"),
        (["cutout.png", "--background", "small.png", "-o", "out.png"], 1, "transparent canvas"),
    ],
)
def test_mistakes_are_told(folder, monkeypatch, arguments, code, said):
    monkeypatch.chdir(folder)
    Image.new("L", (9, 9)).save("small.png")
    result = harmonize(folder, *arguments)
    assert result.exit_code == code and said in result.output
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], None),
        (["--help"], None),
        (["--input", "a.csv"], None),
        (["-", "mask.png"], (photo.main, "PHOTO", ["-", "mask.png"])),
        (["status", "out"], (status.main, "status", ["out"])),
    ],
)
def test_the_first_argument_says_what_is_asked_for(arguments, expected):
    assert run.other_command(arguments) == expected


def test_usage_and_its_errors_lead_to_what_helps():
    one = CliRunner().invoke(photo.main, ["photo.png", "--qualty", "5"], prog_name="hdnet-harmonize PHOTO")
    assert "Try 'hdnet-harmonize PHOTO --help'" in one.output and "'--quality'" in one.output
    bare = CliRunner().invoke(run.main, [], prog_name="hdnet-harmonize")
    uses = [line.split("hdnet-harmonize ")[1] for line in bare.output.splitlines()[:4]]
    assert [use.split()[0] for use in uses] == ["PHOTO", "PHOTO", "--input", "status"]
    assert bare.exit_code == 2 and "give a photo and its mask, or a catalog" in bare.output


def test_one_image_by_the_name_of_the_command(folder, tmp_path):
    command = [sys.executable, "-m", "hdnet.pipeline.run", folder / "photo.png", folder / "mask.png"]
    subprocess.run([*command, "-o", tmp_path / "out.png"], check=True, capture_output=True)
    assert (tmp_path / "out.png").exists()
