"""Composites made afresh from a photo and a mask, as many kinds as catalogs hold."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hdnet.model.training.composites import compositing, looks, retouch
from hdnet.model.training.composites.augment import RGB, Mask, Recolor
from hdnet.model.training.composites.illumination import IlluminationMaps
from hdnet.transforms.pixels.lab import Floats

RELIT = 0.35
"""Share of the scenes that are shown under other light as a whole, object and all."""
KINDS = {"recolor": 0.5, "retouch": 0.24, "look": 0.14, "relight": 0.12}
"""How often an object gets each change: what data sets are made with, a photographer's, a film's, another hour's."""
SCENE_KINDS = {"retouch": 0.3, "look": 0.3, "relight": 0.4}
UNRELIT = 0.5
"""Share of the relit scenes whose object keeps the photo's own light, as an object from elsewhere does."""
FIELDS = 0.2
"""Share of the changes that differ over the object."""
CODED = 0.22
"""Share of the composites written as JPEG after the paste."""
WEAK, LARGEST_FMSE = 250.0, 6000.0
"""Foreground MSE, 0..255 scale. Changes under the first are strengthened: they are no larger than the doubt about an
object's colours in a scene, so nothing but restraint could be learned from them. Those over the second are weakened:
too little of the object is left to restore."""
STRENGTHENED = 2.5
"""The largest factor by which a weak change is strengthened."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composer:
    """Makes composites; holds what they are made with.

    Attributes:
        maps: Illumination maps, or None.
        tables: Colour looks; without them their share goes to retouching.
        untouched: Share of composites that equal their photo.
        slight: Share of composites that barely differ from it.
    """

    maps: IlluminationMaps | None = None
    tables: Sequence[looks.Table] = ()
    untouched: float = 0.1
    slight: float = 0.07

    def __call__(
        self, photo: RGB, mask: Floats, donor: RGB, donor_mask: Mask, rng: np.random.Generator
    ) -> tuple[RGB, RGB, Mask]:
        """Return composite, target and mask.

        The target shows the colours the object has in the scene, and equals the composite outside the mask: nothing
        is to be learned there. What happens to a file after the paste happens to both.

        Args:
            photo: (H,W,3) uint8.
            mask: (H,W) in [0, 1].
            donor: Another photo, for its statistics, (H',W',3) uint8.
            donor_mask: (H',W').
            rng: The only source of randomness.
        """
        relit = rng.random() < RELIT
        real = looks.apply(photo, self._table(SCENE_KINDS, rng)) if relit else photo
        base, alpha = compositing.draw_paste(real, mask, rng)
        region = alpha > 0
        foreign = relit and rng.random() < UNRELIT
        colours = photo if foreign else self._recoloured(real, region, donor, donor_mask, rng)
        if rng.random() < FIELDS:
            colours = compositing.gain_field(colours, rng)
        colours = self._limited(colours, real, region, rng)
        composite, target = (compositing.paste(base, values, alpha) for values in (colours, real))
        if rng.random() < CODED:
            quality, subsampling = int(rng.integers(60, 96)), int(rng.choice([0, 2]))
            composite, target = (compositing.recoded(image, quality, subsampling) for image in (composite, target))
        seen = compositing.seen_mask(alpha, rng)
        return composite, np.where(seen[..., None], target, composite), seen

    def _recoloured(
        self, real: RGB, region: Mask, donor: RGB, donor_mask: Mask, rng: np.random.Generator
    ) -> RGB:  # (H,W,3), of which only the region counts
        kind = _pick(KINDS, rng)
        if kind == "recolor":
            return Recolor(self.maps)(real, region, donor, donor_mask, rng)
        return looks.apply(real, self._table({kind: 1.0}, rng))

    def _table(self, kinds: dict[str, float], rng: np.random.Generator) -> looks.Table:
        kind = _pick(kinds, rng)
        if kind == "look" and self.tables:
            return looks.Blend.draw(len(self.tables), rng).of(self.tables)
        return retouch.relight(rng) if kind == "relight" else retouch.retouch(rng)

    def _limited(self, colours: RGB, real: RGB, region: Mask, rng: np.random.Generator) -> RGB:
        """Bring a change to a useful strength; in some composites, to little or nothing."""
        drawn = rng.random()
        if drawn < self.untouched:
            return real
        change = colours.astype(np.float32) - real
        share = rng.uniform(0.05, 0.35) if drawn < self.untouched + self.slight else 1.0
        inside = change[region]
        strength = float(np.mean(inside * inside)) if inside.size else 0.0
        if 0 < strength < WEAK:
            share *= min(STRENGTHENED, (rng.uniform(1, 4) * WEAK / strength) ** 0.5)
        elif strength > LARGEST_FMSE:
            share *= (LARGEST_FMSE / strength) ** 0.5 * rng.uniform(0.5, 1.0)
        return colours if share == 1 else np.rint(np.clip(real + np.float32(share) * change, 0, 255)).astype(np.uint8)


def _pick(shares: dict[str, float], rng: np.random.Generator) -> str:
    """Draw a name in proportion to its share."""
    edges = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(edges[:-1] / edges[-1], rng.random(), side="right"))]
