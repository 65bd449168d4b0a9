"""Small data sets for tests, made on the spot."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_iharmony4(root: Path, photos: int = 6, size: tuple[int, int] = (24, 32), sub: str = "HToy") -> Path:
    """Write `photos` photos, two composites each, as the train list and the test list alike."""
    rng = np.random.default_rng(0)
    for folder in ("composite_images", "masks", "real_images"):
        (root / sub / folder).mkdir(parents=True)
    names = []
    for i in range(photos):
        real = np.clip(rng.normal(128, 40, (*size, 3)).cumsum(1) / np.arange(1, size[1] + 1)[:, None], 0, 255)
        mask = np.zeros(size, np.uint8)
        mask[4 : 12 + i, 5:20] = 255
        Image.fromarray(real.astype(np.uint8)).save(root / sub / "real_images" / f"p{i}.png")
        Image.fromarray(mask).save(root / sub / "masks" / f"p{i}_1.png")
        for j in (1, 2):
            composite = np.where(mask[..., None] > 0, np.clip(real * (0.6 + 0.3 * j) + 5 * i, 0, 255), real)
            name = f"p{i}_1_{j}.png"
            Image.fromarray(composite.astype(np.uint8)).save(root / sub / "composite_images" / name)
            names.append(name)
    for split in ("train", "test"):
        (root / sub / f"{sub}_{split}.txt").write_text("\n".join(names))
        (root / f"IHD_{split}.txt").write_text("\n".join(f"{sub}/composite_images/{name}" for name in names))
    return root
