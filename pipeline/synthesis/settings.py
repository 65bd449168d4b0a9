"""What every worker must know to make synthetic pairs, and the row that each of them becomes."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, ClassVar

from hdnet.model.synthesis.methods import Donor
from hdnet.model.training.composites import illumination, looks
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
    method: Annotated[str, "How the foreground was recoloured, by the name that `--method` takes."]
    illumination_from: Annotated[str | None, "Photo whose illumination was taken away, by the name of its map."]
    illumination_to: Annotated[str | None, "Photo whose illumination was put on."]
    parameters: Annotated[str | None, "What another method drew, as JSON."]
    change: Annotated[float, "Root mean square of the change inside the mask, in levels of 0 to 255."]
    rejected: Annotated[Int32, "Draws that were rejected before."]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisOptions(ImageOptions):
    """What decides a composite, apart from its photo and mask.

    Attributes:
        seed: Decides all draws.
        methods: How often each method is drawn, by name.
        test_fraction: Share of the photos whose composites are the test list.
        maps: SHA-256 of what foregrounds are recoloured with: `SynthesisSettings.digest`.
    """

    seed: int = 0
    methods: tuple[tuple[str, float], ...] = (("illumination", 1.0), ("camera", 0.0))
    test_fraction: float = 0.1
    maps: str = ""

    def record(self, label: int | None = None, *, resized: bool = False) -> str:
        """Return what decided a composite as JSON; labels make no difference."""
        own = {name: getattr(self, name) for name in ("seed", "methods", "test_fraction", "maps")}
        return json.dumps({**json.loads(super().record(resized=resized)), **own})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisSettings(Settings):
    """How composites are made, and where results go.

    Attributes:
        image: What decides a composite.
        per_photo: Composites of each photo and mask.
        readings: The user's own colour checkers; ccHarmony's maps when empty.
        looks: Colour tables, as for `looks.read`; None without.
        donors: Foregrounds whose colour statistics others get.
    """

    image: SynthesisOptions = SynthesisOptions()
    per_photo: int = 10
    readings: tuple[Reading, ...] = ()
    looks: str | None = None
    donors: tuple[Donor, ...] = ()

    row: ClassVar[type[MetricsRow]] = SynthesisRow

    @property
    def layout(self) -> SynthesisLayout:
        """Where this run's results lie."""
        return SynthesisLayout(self.output, self.run_id)

    def load(self) -> "Worker":
        """Load what foregrounds are recoloured with."""
        from hdnet.pipeline.synthesis.photo import Synthesizing

        return Synthesizing.of(self)

    def digest(self) -> str:
        """Return the SHA-256 of what foregrounds are recoloured with: the maps or readings, looks and donors.

        Raises:
            HarmonizeError: The looks cannot be read.
        """
        shipped = illumination.SHIPPED.read_bytes()
        found = hashlib.sha256(json.dumps(self.readings).encode() if self.readings else shipped)
        for name, table in (looks.read(self.looks) if self.looks else {}).items():
            found.update(name.encode() + table.tobytes())
        for donor in self.donors:
            found.update(donor.photo.encode() + donor.values)
        return found.hexdigest()
