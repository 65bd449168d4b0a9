"""Changes of light and colour as photographers make them and as scenes have them, drawn at random as colour tables."""

from typing import cast

import numpy as np

from hdnet.model.training.composites.looks import IDENTITY, Table
from hdnet.transforms.pixels import lab
from hdnet.transforms.pixels.image import LUMA
from hdnet.transforms.pixels.lab import Floats

_LINEAR = cast(Floats, np.where(IDENTITY <= 0.04045, IDENTITY / 12.92, ((IDENTITY + 0.055) / 1.055) ** 2.4)).astype(
    np.float32
)
STRONGEST = 1.2
"""Amount of a tone change from which on dark and light would trade places."""
LAMPS = {"moon": (-0.9, -0.25, 0.75), "sodium": (0.7, -0.05, -1.3), "tungsten": (0.45, -0.05, -0.75),
         "shade": (-0.3, 0.0, 0.4), "leaves": (-0.15, 0.3, -0.35), "neon": (0.5, -0.6, 0.35)}  # fmt: skip
"""Casts of red, green and blue in stops, of light that is far from white."""


def retouch(rng: np.random.Generator) -> Table:
    """Draw what one session with a photo editor does to a photo: a coherent whole, mild to strong."""
    strength = rng.uniform(0.5, 2.0)
    warmth, tint = strength * rng.normal(0, 0.3), strength * rng.normal(0, 0.1)
    stops = strength * rng.normal(0, 0.55) + np.array([warmth, tint, -warmth])
    values = _exposed(stops)
    values = _toned(values, strength * rng.normal(0, 1, 4))
    values = _vivid(values, strength * rng.normal(0.05, 0.35), vibrance=rng.random() < 0.5)
    if rng.random() < 0.35:
        values = _split_toned(values, strength * rng.normal(0, 0.05, (2, 3)).astype(np.float32))
    return np.clip(values, 0, 1)


def relight(rng: np.random.Generator) -> Table:
    """Draw the light of another hour: a night, a lamp with a strong cast, or a glare."""
    stops = rng.uniform(0.3, 1.0) * np.array(list(LAMPS.values())[int(rng.integers(len(LAMPS)))])
    stops += rng.normal(0, 0.12, 3) + (rng.uniform(-3.0, 0.0) if rng.random() < 0.75 else rng.uniform(0.0, 1.0))
    values = _toned(_exposed(stops), rng.normal(0, 0.6, 4))
    return np.clip(_vivid(values, rng.uniform(-0.6, 0.2), vibrance=False), 0, 1)


def _exposed(stops: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Floats:  # (3,) -> (17,17,17,3)
    """Multiply light by powers of two; what would leave the range bends into it, as film and cameras do."""
    light = _LINEAR * (2**stops).astype(np.float32)
    shoulder = np.float32(0.7)
    over = np.maximum(light - shoulder, 0) / (1 - shoulder)
    bent = np.minimum(light, shoulder) + (1 - shoulder) * over / (1 + over) if stops.max() > 0 else light
    return lab.encode(bent) / np.float32(255)


def _toned(values: Floats, amounts: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Floats:
    """Change contrast, shadows, highlights and the black point, each by an amount of about -1 to 1."""
    contrast, shadows, highlights, black = np.clip(amounts, -STRONGEST, STRONGEST).astype(np.float32)
    curve = 4 * values * (1 - values) * (values - 0.5)
    dark = values * (1 - values) ** 3
    bright = values**3 * (1 - values)
    level = np.float32(0.03) * black * (1 - values)
    bent = values + 0.25 * contrast * curve + 0.3 * (shadows * dark + highlights * bright) + level
    toned: Floats = np.clip(bent, 0, 1)
    return toned


def _vivid(values: Floats, amount: float, vibrance: bool) -> Floats:
    """Raise or lower saturation; vibrance does so the more, the paler a colour is."""
    grey = (values @ LUMA)[..., None]
    share = 1 - (values.max(-1, keepdims=True) - values.min(-1, keepdims=True)) if vibrance else np.float32(1)
    vivid: Floats = np.clip(grey + (1 + np.float32(max(amount, -0.9)) * share) * (values - grey), 0, 1)
    return vivid


def _split_toned(values: Floats, tints: Floats) -> Floats:
    """Tint shadows and highlights, each with a colour of its own; (2,3)."""
    grey = (values @ LUMA)[..., None]
    tinted: Floats = np.clip(values + (1 - grey) ** 2 * tints[0] + grey**2 * tints[1], 0, 1)
    return tinted
