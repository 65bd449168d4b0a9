"""A synthesis job: its request, its graph, and the lists that it ends with."""

import dataclasses
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.pvalue import PCollection

from hdnet.model.synthesis import checkers
from hdnet.model.training.composites import illumination
from hdnet.pipeline import graph, launch
from hdnet.pipeline.report.run_info import RECOLOURING
from hdnet.pipeline.request import Request
from hdnet.pipeline.runners.base import Runner
from hdnet.pipeline.synthesis import donors, layout
from hdnet.pipeline.synthesis.layout import Split, SynthesisLayout
from hdnet.pipeline.synthesis.photo import peak_bytes
from hdnet.pipeline.synthesis.settings import Reading, SynthesisOptions, SynthesisSettings
from hdnet.pipeline.totals import Totals
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import DatasetError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisRequest(Request):
    """The command's options, as given.

    Attributes:
        per_photo: Composites of each photo and mask.
        seed: Decides all draws.
        methods: How often each method is drawn, by name.
        looks: Colour tables, as for `looks.read`; None without.
        checkers: Folder with readings of the user's own colour checkers; None for ccHarmony's maps.
        test_fraction: Share of the photos whose composites are the test list.
    """

    per_photo: int
    seed: int
    methods: tuple[tuple[str, float], ...]
    looks: str | None
    checkers: str | None
    test_fraction: float

    @property
    def places(self) -> dict[str, str | None]:
        """As for a `Request`; workers read the looks themselves, and are given the checkers' values."""
        return {**super().places, "looks": self.looks}

    def recorded(self) -> dict[str, str | int | float | bool | None]:
        """Return the options that the run's record shows."""
        methods = ",".join(f"{name}={weight:g}" for name, weight in self.methods)
        own = {name: getattr(self, name) for name in ("per_photo", "seed", "looks", "checkers", "test_fraction")}
        return {**super().recorded(), **own, "methods": methods}


class SynthesisJob(graph.Job):
    """A run that makes several composites of each photo of a manifest."""

    @property
    def fewest(self) -> int:
        """A row of the manifest that is not a pair is one failure, not several."""
        return self.rows // self._settings.per_photo

    def expand(self, pairs: PCollection[Pair]) -> PCollection[Pair]:
        """Return a pair for each composite to make."""
        numbers: PCollection[Pair] = pairs | "Number" >> beam.FlatMap(numbered, self._settings.per_photo)
        return numbers

    def conclude(self) -> None:
        """Write the lists of the data set."""
        write_lists(self._settings.layout, self._settings.image.test_fraction)

    @property
    def _settings(self) -> SynthesisSettings:
        assert isinstance(self.settings, SynthesisSettings)
        return self.settings


def run(request: SynthesisRequest) -> Totals | None:
    """Check the request, run it and show the outcome.

    Raises:
        BeamOptionsError: The Beam options cannot be used as they are.
        HarmonizeError: The manifest, the readings or the output cannot be used, or the job failed.
    """
    return launch.run(request, lambda _, runner: synthesis(request, runner), SynthesisJob)


def synthesis(request: SynthesisRequest, runner: Runner) -> launch.Work:
    """Describe what the job does.

    Raises:
        HarmonizeError: The readings, the looks or the photos that give statistics cannot be used.
    """
    readings = read_checkers(request.checkers) if request.checkers else ()
    settings = SynthesisSettings(
        output=request.output,
        run_id=request.run_id,
        weights=request.checkers or illumination.SHIPPED.stem,
        max_pixels=request.max_pixels,
        image=SynthesisOptions(
            format=request.image_format,
            quality=request.quality,
            resize_mask=request.resize_mask,
            mask_value=request.mask_value,
            invert_mask=request.invert_mask,
            seed=request.seed,
            methods=request.methods,
            test_fraction=request.test_fraction,
        ),
        per_photo=request.per_photo,
        readings=readings,
        looks=request.looks,
    )
    if any(share for name, share in request.methods if name in ("lab", "histogram")):
        settings = dataclasses.replace(settings, donors=donors.read(request, settings))
    sources = settings.digest()
    settings = dataclasses.replace(settings, image=dataclasses.replace(settings.image, maps=sources))
    header = {"architecture": RECOLOURING, "sha256": sources}
    count = request.per_photo
    return launch.Work(settings, header, peak_bytes, count, lambda pair: list(numbered(pair, count)))


def numbered(pair: Pair, count: int) -> Iterator[Pair]:
    """Yield a pair's composites to make, with its photo in the composite's place."""
    photo = layout.photo_of(pair)
    for number in range(1, count + 1):
        yield dataclasses.replace(pair, id=f"{pair.id}_{number}", composite=photo, reference=None)


def read_checkers(folder: str) -> tuple[Reading, ...]:
    """Read every CSV file of a folder, by name.

    Raises:
        DatasetError: There are fewer than two, or one is not a reading.
        StorageError: The folder or a file cannot be read.
    """
    if not storage.is_folder(folder):
        raise DatasetError(f"{folder}: no such folder; name the one that holds the CSV files of the readings")
    names = sorted(name for name in storage.list_files(folder) if name.lower().endswith(".csv"))
    found = []
    for name in names:
        uri = storage.join(folder, name)
        values = checkers.parse(storage.read(uri).decode("utf-8-sig", "replace"), uri)
        found.append((name[: -len(".csv")], tuple(tuple(row) for row in values.tolist())))
    if len(found) < 2:
        raise DatasetError(f"{folder}: {len(found)} CSV files; a change of illumination needs readings of two photos")
    return tuple(found)


def write_lists(place: SynthesisLayout, test_fraction: float) -> None:
    """Write the train and test lists of all composites that are there with their photo and mask."""
    names = {folder: _names(f"{place.images}/{folder}") for folder in (layout.COMPOSITES, layout.MASKS, layout.PHOTOS)}
    photos, masks = ({name.rpartition(".")[0] for name in names[folder]} for folder in (layout.PHOTOS, layout.MASKS))
    lines: dict[Split, list[str]] = {"train": [], "test": []}
    for name in sorted(names[layout.COMPOSITES]):
        parts = layout.parts_of(name)
        if parts and parts[0] in photos and parts[1] in masks:
            lines[layout.split_of(parts[2], test_fraction)].append(f"{layout.SUBSET}/{layout.COMPOSITES}/{name}\n")
    for split, found in lines.items():
        for uri in place.lists(split):
            storage.write(uri, "".join(found).encode())


def _names(folder: str) -> list[str]:
    return list(storage.list_files(folder)) if storage.is_folder(folder) else []
