"""Small catalogs on disk: mixed sizes and formats, and a broken pair for every class of error."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from hdnet.model import architectures
from hdnet.model.weights import weights_file

FORMATS = (
    ("jpg", "RGB"),
    ("png", "RGB"),
    ("webp", "RGB"),
    ("tif", "RGB"),
    ("png", "L"),
    ("png", "RGBA"),
    ("jpg", "CMYK"),
)
BROKEN = (
    ("truncated", "DecodeError"),
    ("empty", "DecodeError"),
    ("text", "DecodeError"),
    ("missing", "StorageError"),
    ("no-mask", "StorageError"),
    ("mask-size", "ShapeError"),
    ("too-large", "SizeError"),
    ("reference-size", "ShapeError"),
)


def write_weights(path: Path) -> Path:
    """Write a tiny network's random weights."""
    weights_file.save(architectures.build("hdnet-lite", {"width": 1}), path, {})
    return path


def write_catalog(root: Path, good: int, broken: int) -> Path:
    """Write a manifest of `good` pairs and `broken` ones (of `BROKEN` in turn), and return its path."""
    rng = np.random.default_rng(0)
    rows = [_good(root, i, rng) for i in range(good)] + [_broken(root, i, rng) for i in range(broken)]
    path = root / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "composite", "mask", "reference", "shop"])
        writer.writeheader()
        writer.writerows(rows[i] for i in rng.permutation(len(rows)))
    return path


def _good(root: Path, i: int, rng: np.random.Generator) -> dict[str, str]:
    suffix, mode = FORMATS[i % len(FORMATS)]
    size = (16 + 5 * (i % 4), 16 + 7 * (i % 3))
    pixels = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    name = f"good/{i:04}"
    reference = _save(root, f"references/{i}.png", Image.fromarray(pixels)) if i % 2 else ""
    composite = _save(root, f"composites/{i}.{suffix}", Image.fromarray(pixels).convert(mode))
    return {"id": name, "composite": composite, "mask": _mask(root, i, size), "reference": reference, "shop": f"s{i}"}


def _broken(root: Path, i: int, rng: np.random.Generator) -> dict[str, str]:
    kind = BROKEN[i % len(BROKEN)][0]
    row = _good(root, 10_000 + 2 * i + 1, rng) | {"id": f"bad/{kind}-{i}"}
    composite = root / row["composite"]
    whole = composite.read_bytes()
    contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"<html>404</html>"}
    if kind in contents:
        composite.write_bytes(contents[kind])
    elif kind in ("missing", "no-mask"):
        (composite if kind == "missing" else root / row["mask"]).unlink()
    elif kind in ("mask-size", "reference-size"):
        Image.new("L", (9, 50)).save(root / row["mask" if kind == "mask-size" else "reference"])
    else:
        Image.new("RGB", (300, 300)).save(composite)
    return row


def _mask(root: Path, i: int, size: tuple[int, int]) -> str:
    mask = Image.new("L", size)
    mask.paste(255, (4, 4, 12, 12))
    return _save(root, f"masks/{i}.png", mask)


def _save(root: Path, name: str, picture: Image.Image) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return name
