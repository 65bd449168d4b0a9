"""What the command was asked to do."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Literal

from hdnet.model.precision import Precision
from hdnet.pipeline.settings import Scores
from hdnet.transforms.catalog.layouts import Names
from hdnet.transforms.storage import schemes

_ELSEWHERE = {"manifest", "output", "weights", "run_id", "image_format", "allow_scheme", "beam_args", "words",
              "usual_words"}  # fmt: skip
"""Fields of a request that the record has in other words or at another place."""
_OF_DRY_RUNS = {"dry_run", "vcpu_price"}
"""Fields that matter to runs alone that leave no record."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options, as given; README describes them."""

    manifest: str
    output: str
    weights: str
    precision: Precision | Literal["auto"]
    workers: int
    memory: float | None
    max_pixels: int
    image_format: str
    quality: int
    resize_mask: bool
    label: str | None
    run_id: str
    limit: int | None
    resume: bool
    verify: bool
    retry_failed: str | None
    dry_run: bool
    report: bool
    scores: Scores = "all"
    strength: float = 1.0
    mask_value: int | None = None
    invert_mask: bool = False
    ids: str | None = None
    skip_ids: str | None = None
    max_failure_rate: float = 1.0
    accelerator: str | None = None
    vcpu_price: float | None = None
    allow_scheme: Sequence[str] = ()
    pair: str | None = None
    skip_unpaired: bool = False
    beam_args: Sequence[str] = ()
    words: Sequence[str] = ()
    """The command and the options that were given, as a shell takes them."""
    usual_words: Sequence[str] = ()
    """The same without what is this run's alone, such as its name."""

    @property
    def memory_bytes(self) -> int | None:
        """Bytes that local workers may use together; None where that is left open."""
        return None if self.memory is None else int(self.memory * 1e9)

    @property
    def schemes(self) -> frozenset[str]:
        """Schemes that the URIs of pairs may have."""
        return schemes.allowed(self.manifest, self.output, self.allow_scheme)

    @property
    def names(self) -> Names:
        """How the files of a folder form pairs."""
        return Names(self.pair, self.skip_unpaired)

    @property
    def places(self) -> dict[str, str | None]:
        """Files and folders that workers read or write, by the names of their options."""
        return {
            "input": self.manifest,
            "output": self.output,
            "weights": self.weights,
            "ids": self.ids,
            "skip-ids": self.skip_ids,
        }

    def recorded(self) -> dict[str, str | int | float | bool | None]:
        """Return what the record shows under "options": each one, and the command with and without this run's own."""
        names = [field.name for field in dataclasses.fields(Request)]
        values = {name: getattr(self, name) for name in names if name not in _ELSEWHERE | _OF_DRY_RUNS}
        commands = {"command": shlex.join(self.words), "usual_command": shlex.join(self.usual_words)}
        written = {"beam": shlex.join(self.beam_args), **commands}
        return {**values, "format": self.image_format, "allow_scheme": ",".join(self.allow_scheme), **written}
