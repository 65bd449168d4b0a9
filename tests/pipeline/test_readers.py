"""Folders, manifests, Python and training read the same masks and images from the same files."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from hdnet.model import harmonizer
from hdnet.model.training import dataset
from hdnet.pipeline.local.admission import Admission
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import pair
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms.catalog import layouts, manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.codecs import header, mask
from hdnet.transforms.errors import HarmonizeError
from tests import hostile, pictures

OBJECT = np.zeros((12, 16), np.uint8)
OBJECT[3:9, 4:12] = 255


def cut_out(colour: int) -> Image.Image:
    return Image.fromarray(np.dstack([np.full((12, 16, 3), colour, np.uint8), OBJECT]))


def bands(*values: int, dtype: Any = np.uint8) -> Image.Image:
    return Image.fromarray(np.resize(np.repeat(np.array(values, dtype), 4), (12, 16)))


MASKS = {
    "white.png": pictures.pillow(Image.fromarray(OBJECT)),
    "white.jpg": pictures.pillow(Image.fromarray(OBJECT), "JPEG"),
    "white.webp": pictures.pillow(Image.fromarray(OBJECT), "WEBP"),
    "turned.tif": pictures.pillow(Image.fromarray(OBJECT.T.copy()), "TIFF", tiffinfo={274: 6}),
    "bits.png": pictures.pillow(Image.fromarray(OBJECT > 0)),
    "deep.png": pictures.pillow(Image.fromarray(OBJECT.astype(np.uint16) * 257)),
    "soft-deep.png": pictures.pillow(Image.fromarray(OBJECT.astype(np.uint16) * 200)),
    "ones.png": pictures.pillow(Image.fromarray(OBJECT // 255)),
    "palette.gif": pictures.pillow(Image.fromarray(OBJECT).quantize(2), "GIF"),
    "on-black.png": pictures.pillow(cut_out(0)),
    "on-white.png": pictures.pillow(cut_out(255)),
    "label.png": pictures.pillow(bands(0, 15, 255)),
    "class.png": pictures.pillow(bands(0, 128)),
    "faint.png": pictures.pillow(bands(0, 20)),
    "shallow.png": pictures.pillow(bands(0, 255, dtype=np.uint16)),
    "label.jpg": pictures.pillow(bands(*[0] * 8, *[15] * 8, *[255] * 8).resize((96, 72), 0), "JPEG"),
    "overlay.png": pictures.pillow(Image.fromarray(np.dstack([OBJECT, OBJECT, OBJECT, OBJECT // 2 + OBJECT % 2]))),
    "transparent.gif": pictures.pillow(Image.fromarray(OBJECT).quantize(2), "GIF", transparency=0),
    "coloured.png": pictures.pillow(Image.new("RGB", (16, 12), "red")),
}
FILES = {**MASKS, **{f"{name}.png": data for name, data in hostile.FILES.items()}}
"""Forty files and more; a name's ending does not matter to a reader."""


class Recorder:
    """Takes the place of the network and keeps what it is given."""

    precision = "float32"

    def estimate(self, height: int, width: int) -> int:
        return 0

    def __call__(self, composite: npt.NDArray[Any], mask: npt.NDArray[Any], label: None) -> npt.NDArray[Any]:
        self.composite, self.mask = composite, mask
        return composite


def run(row: Pair, output: Path) -> Recorder:
    network = Recorder()
    settings = Settings(output=str(output), run_id="a")
    worker = pair.Harmonizing(
        settings=settings, threads=1, admission=Admission(10**9, 1, str(output)), suspects={},
        harmonizer=network, arch="toy", weights_sha256="",  # type: ignore[arg-type]
    )  # fmt: skip
    for _ in pair.harmonize(Task(row), worker, pair.Stages(), lambda _: contextlib.nullcontext()):
        pass
    return network


def outcome(read: Any) -> str | list[Any]:
    """Return an array as lists, or the class and words of an error without the file's name."""
    try:
        found: list[Any] = read().tolist()
    except HarmonizeError as error:
        return str(error).partition(" ")[2]
    return found


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A folder in which every file is a composite with a plain mask, and the mask of a plain composite."""
    root = tmp_path_factory.mktemp("catalog")
    for folder in layouts.FOLDERS:
        (root / folder).mkdir()
    rows = []
    for i, data in enumerate(FILES.values()):
        found = header.read(data, "the file")
        other = pictures.pillow(Image.new("L", (found.width, found.height)))
        for role in ("composites", "masks"):
            name = f"{i}-{role}.png"
            for folder in layouts.FOLDERS:
                (root / folder / name).write_bytes(data if (folder == "masks") == (role == "masks") else other)
            rows.append(f"{i}-{role},composites/{name},masks/{name},references/{name}")
    (root / "pairs.csv").write_text("\n".join(["id,composite,mask,reference", *rows]))
    return root


@pytest.mark.parametrize("role", ["masks", "composites"])
def test_four_readers_see_the_same(catalog, role, tmp_path):
    (tmp_path / "locks").mkdir()
    listed = {row.id: row for row in layouts.read_folder(catalog)}
    rows = [row for row in manifest_parts.rows(str(catalog / "pairs.csv")) if isinstance(row, Pair)]
    name = "mask" if role == "masks" else "composite"
    refused = 0
    for row in (row for row in rows if row.id.endswith(role)):
        assert listed[row.id] == row
        by_run = outcome(lambda row=row: getattr(run(row, tmp_path), name))
        by_training = outcome(lambda row=row: dataset.load_pair(row)[2 if name == "mask" else 0])
        assert by_run == by_training, list(FILES)[int(row.id.partition("-")[0])]
        if name == "mask":
            assert outcome(lambda row=row: harmonizer.read_mask(row.mask)) == by_run
        refused += isinstance(by_run, str)
    assert len(FILES) >= 40 and len(FILES) - refused > 21


@pytest.mark.parametrize("name", [name for name in MASKS if name != "turned.tif"])
def test_a_mask_opened_by_pillow_is_read_as_its_file(name):
    with Image.open(io.BytesIO(MASKS[name])) as opened:
        by_pillow = outcome(lambda: mask.from_pillow(opened, "m"))
    assert by_pillow == outcome(lambda: mask.decode_mask(MASKS[name], "m"))
