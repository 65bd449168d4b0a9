"""What every worker must know to make synthetic pairs, and the row that each of them becomes."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, ClassVar

from hdnet.pipeline.settings import ImageOptions, Settings
from hdnet.pipeline.synthesis.layout import SynthesisLayout
from hdnet.transforms.catalog.rows import Int32, MetricsRow

if TYPE_CHECKING:
    from hdnet.pipeline.steps.pair import Worker

Reading = tuple[str, tuple[tuple[float, float, float], ...]]
"""A photo's name, and the mean colours of the 24 patches of the checker in it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisRow(MetricsRow):
    """One synthetic composite, in `output`; the columns that need a reference or a network's weights say nothing."""

    real: Annotated[str, "URI of the photo in the data set."]
    region: Annotated[str, "URI of the mask in the data set."]
    split: Annotated[str, "`train` or `test`."]
    method: Annotated[str, "How the foreground was recoloured: `illumination` or `camera`."]
    illumination_from: Annotated[str | None, "Photo whose illumination was taken away, by the name of its map."]
    illumination_to: Annotated[str | None, "Photo whose illumination was put on."]
    change: Annotated[float, "Root mean square of the change inside the mask, in levels of 0 to 255."]
    rejected: Annotated[Int32, "Draws that were rejected before."]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisOptions(ImageOptions):
    """What decides a composite, apart from its photo and mask.

    Attributes:
        seed: Decides all draws.
        methods: How often each method is drawn, by name.
        test_fraction: Share of the photos whose composites are the test list.
        maps: SHA-256 of the colour maps.
    """

    seed: int = 0
    methods: tuple[tuple[str, float], ...] = (("illumination", 1.0), ("camera", 0.0))
    test_fraction: float = 0.1
    maps: str = ""

    def key(self, label: int | None = None) -> str:
        """Return the options as JSON; labels make no difference."""
        own = {name: getattr(self, name) for name in ("seed", "methods", "test_fraction", "maps")}
        return json.dumps({**json.loads(super().key()), **own})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisSettings(Settings):
    """How composites are made, and where results go.

    Attributes:
        image: What decides a composite.
        per_photo: Composites of each photo and mask.
        readings: The user's own colour checkers; ccHarmony's maps when empty.
    """

    image: SynthesisOptions = SynthesisOptions()
    per_photo: int = 10
    readings: tuple[Reading, ...] = ()

    row: ClassVar[type[MetricsRow]] = SynthesisRow

    @property
    def layout(self) -> SynthesisLayout:
        """Where this run's results lie."""
        return SynthesisLayout(self.output, self.run_id)

    def load(self) -> "Worker":
        """Load the colour maps."""
        from hdnet.pipeline.synthesis.photo import Synthesizing

        return Synthesizing.of(self)


def digest(readings: tuple[Reading, ...], shipped: bytes) -> str:
    """Return the SHA-256 of what the colour maps are fitted to, or without readings of the shipped maps."""
    return hashlib.sha256(json.dumps(readings).encode() if readings else shipped).hexdigest()
