"""The work on one pair as a plain function: bytes in, an image written, one row of metrics out.

It is a generator with a `yield` where another thread may take over: after reading, and before writing.
"""

import abc
import contextlib
import dataclasses
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from hdnet.model.harmonizer import Harmonizer
from hdnet.model.weights import weights_file
from hdnet.pipeline.local import machine, supervise
from hdnet.pipeline.local.admission import Admission
from hdnet.pipeline.settings import Scores, Settings
from hdnet.pipeline.steps.relay import Work
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import storage
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import SCHEMA_VERSION, STAGES, VERSIONS, MetricsRow
from hdnet.transforms.codecs import decode, encode, header, limits, mask
from hdnet.transforms.codecs.mask import Reading
from hdnet.transforms.codecs.picture import Header, Picture
from hdnet.transforms.errors import CrashError, StorageError
from hdnet.transforms.pixels import image
from hdnet.transforms.pixels.image import Foreground, Mask, Pixels
from hdnet.transforms.scores import appearance, metrics

UnderWay = Callable[[str], contextlib.AbstractContextManager[None]]


class Stages:
    """Measures the seconds of each stage and the bytes read and written, and knows which stage is under way."""

    def __init__(self) -> None:
        self.current = STAGES[0]
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.bytes = {"read": 0, "written": 0}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage."""
        self.current, began = name, time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - began

    def columns(self) -> dict[str, Any]:
        """Return the columns of the seconds."""
        return {f"seconds_{name}": seconds for name, seconds in self.seconds.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker(abc.ABC):
    """What a worker process loads once and all of its threads use.

    Attributes:
        settings: What to do, and where results go.
        threads: Torch threads of this process.
        admission: Keeps the processes of this machine within its memory.
        suspects: For each pair by id, how many processes died while working on it.
    """

    settings: Settings
    threads: int
    admission: Admission
    suspects: Mapping[str, int]

    @abc.abstractmethod
    def work(self, task: Task, stages: Stages, under_way: UnderWay) -> Work[MetricsRow]:
        """Do the work on one pair: read it; run the network; write and score the result, and return the row.

        Args:
            task: The pair.
            stages: Measures the time, and knows afterwards in which stage an error was raised.
            under_way: Entered with the id for the work that may bring the process down.

        Raises:
            HarmonizeError: A file cannot be read, is not an image, is too large or does not fit the others; the result
                cannot be written; or processes died over the pair.
        """

    def deaths(self, pair: Pair) -> int:
        """Return how many processes died over a pair.

        Raises:
            CrashError: They are too many for another try.
        """
        if (died := self.suspects.get(pair.id, 0)) >= supervise.TRIES:
            raise CrashError(
                f"{pair.composite}: {died} processes died over it, for lack of memory or because of a decoder's fault"
            )
        return died


def machine_fields(settings: Settings) -> dict[str, Any]:
    """Return the fields of a `Worker` that are this machine's."""
    host = settings.machine
    plan, locks = host.plan, host.scratch
    if plan is None:
        plan = machine.whole()
        # The processes of one container find each other here. Those in containers of their own do not, and two
        # very large images may be in work at the same time.
        locks = os.path.join(tempfile.gettempdir(), "hdnet")
        os.makedirs(locks, exist_ok=True)
    return {
        "threads": plan.threads,
        "admission": Admission(plan.memory, plan.workers, locks),
        "suspects": supervise.suspects(host.scratch),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Harmonizing(Worker):
    """Harmonizes pairs.

    Attributes:
        harmonizer: The network.
        arch: Name of the architecture.
        weights_sha256: SHA-256 of the tensors.
    """

    harmonizer: Harmonizer
    arch: str
    weights_sha256: str

    @classmethod
    def of(cls, settings: Settings) -> "Harmonizing":
        """Load the weights and build the network.

        Raises:
            HarmonizeError: The weights cannot be used.
            ValueError: The device does not exist.
        """
        with weights_file.local_copy(settings.weights) as path:  # fetched once
            header = weights_file.read_header(path)
            harmonizer = Harmonizer.load(path, settings.machine.device, settings.image.precision)
        return cls(
            settings=settings,
            harmonizer=harmonizer,
            arch=header["architecture"],
            weights_sha256=header["sha256"],
            **machine_fields(settings),
        )

    def work(self, task: Task, stages: Stages, under_way: UnderWay) -> Work[MetricsRow]:
        """Read, harmonize, write and score one pair."""
        return harmonize(task, self, stages, under_way)


def harmonize(task: Task, worker: Harmonizing, stages: Stages, under_way: UnderWay) -> Work[MetricsRow]:
    """Read, harmonize, write and score one pair, as `Worker.work`."""
    settings, pair = worker.settings, task.pair
    options, label = settings.image.of(pair), settings.image.label_of(pair)
    check_apart(pair, settings)
    died = worker.deaths(pair)
    with stages("read"):
        files = fetch((pair.composite, pair.mask, pair.reference), settings)
        composite, mask_file, *rest = files
        reference_file = rest[0] if rest else None
        stages.bytes["read"] = sum(len(file.data) for file in files)
    with hold(files, worker.harmonizer.estimate, worker.admission, alone=died > 0), under_way(pair.id):
        with stages("read"):
            picture = decode.decode(composite.data, composite.uri, settings.max_pixels)
            soft_mask = decode_mask(mask_file, composite.header, settings, options.reading)
            reference = None if settings.scores == "none" else _decode_reference(reference_file, picture, settings)
        yield
        with stages("network"):
            harmonized = worker.harmonizer(picture.pixels, soft_mask, label)
            result = image.mix(picture.pixels, harmonized, options.strength)
        yield
        with stages("write"):
            output = settings.layout.image(pair.id, encode.suffix(options.format, picture.format))
            encoded = encode.encode(picture, result, options.format, options.quality)
            storage.write(output, encoded)
            stages.bytes["written"] = len(encoded)
        with stages("score"):
            scores = score(picture.pixels, result, reference, image.threshold(soft_mask), settings.scores)
    return MetricsRow(
        **inputs(task, composite, mask_file, reference_file),
        **scores,
        **stages.columns(),
        output=output,
        output_sha256=sha256(encoded),
        output_bytes=len(encoded),
        schema_version=SCHEMA_VERSION,
        arch=worker.arch,
        precision=worker.harmonizer.precision,
        weights_sha256=worker.weights_sha256,
        options=options.record(label, resized=is_resized(mask_file, composite.header)),
        harmonized_at=datetime.now(UTC),
        flags=None,
    )


@dataclasses.dataclass(frozen=True)
class File:
    """The bytes of an input, and what its header says before any pixel is decoded."""

    uri: str
    data: bytes
    header: Header


def inputs(task: Task, composite: File, mask_file: File, reference: File | None) -> dict[str, Any]:
    """Return the columns that describe the pair and its files."""
    pair = task.pair
    return {
        "id": pair.id,
        "composite": pair.composite,
        "mask": pair.mask,
        "reference": pair.reference,
        "width": composite.header.width,
        "height": composite.header.height,
        "input_sha256": sha256(composite.data),
        "mask_sha256": sha256(mask_file.data),
        "reference_sha256": sha256(reference.data) if reference else None,
        **dict(zip(VERSIONS, task.versions, strict=True)),
    }


def check_apart(pair: Pair, settings: Settings) -> None:
    """Make sure that a run does not read what it writes.

    Raises:
        StorageError: It would.
    """
    images = storage.canonical(settings.layout.images) + "/"
    for uri in (pair.composite, pair.mask, pair.reference or pair.mask):
        if storage.canonical(uri).startswith(images):
            raise StorageError(f"{uri} is among the images this run writes: choose another --output")


def fetch(uris: Sequence[str | None], settings: Settings) -> list[File]:
    """Read files and their headers, all at the same time; None is passed over.

    Raises:
        HarmonizeError: One cannot be read, is not an image or is too large.
    """

    def one(uri: str) -> File:
        data = storage.read(uri, limit=limits.file_bytes(settings.max_pixels))
        found = header.read(data, uri)
        header.check_size(found, uri, settings.max_pixels)
        return File(uri, data, found)

    named = [uri for uri in uris if uri is not None]
    with ThreadPoolExecutor(len(named)) as threads:
        return list(threads.map(one, named))


def hold(
    files: Sequence[File], estimate: Callable[[int, int], int], admission: Admission, *, alone: bool
) -> contextlib.AbstractContextManager[None]:
    """Wait for the memory that a pair takes at its peak; a mask may be larger than its composite.

    Args:
        files: The composite first.
        estimate: Returns about how many bytes a composite's height and width take at the peak.
        admission: Keeps the memory.
        alone: Wait until no other pair is in work.

    Raises:
        SizeError: As for `Admission.hold`.
    """
    composite = files[0].header
    largest = max(file.header.pixels for file in files)
    decoding = limits.DECODE_BYTES * (largest - composite.pixels)
    size = estimate(composite.height, composite.width) + machine.BEAM_BYTES + decoding
    beside = machine.beside_bytes(largest, max(file.header.bits for file in files))
    return admission.hold(size, files[0].uri, beside=beside, alone=alone)


def decode_mask(file: File, composite: Header, settings: Settings, reading: Reading) -> Mask:
    """Decode a composite's mask, or a photo's.

    Raises:
        HarmonizeError: It is not a mask, or does not fit the composite.
    """
    soft_mask = mask.decode_mask(file.data, file.uri, settings.max_pixels, reading)
    return mask.resize_mask_to(
        soft_mask, composite.height, composite.width,
        name=file.uri, allowed=settings.image.resize_mask, orientation=composite.orientation,
    )  # fmt: skip


def is_resized(mask_file: File, composite: Header) -> bool:
    """Say whether a mask has another size than its composite."""
    return (mask_file.header.width, mask_file.header.height) != (composite.width, composite.height)


def _decode_reference(file: File | None, picture: Picture, settings: Settings) -> Pixels | None:
    if file is None:
        return None
    reference = decode.decode(file.data, file.uri, settings.max_pixels).pixels
    header.check_reference(reference.shape[:2], picture.pixels.shape[:2], file.uri)
    return reference


def score(
    composite: Pixels, result: Pixels, reference: Pixels | None, foreground: Foreground, wanted: Scores = "all"
) -> dict[str, Any]:
    """Return the columns of the scores; those that are not wanted are null."""
    scores: Sequence[metrics.Scores | None] = (None, None)
    if wanted == "none":
        seen = appearance.coverage(foreground)
    else:
        seen = appearance.compare(composite, result, foreground, colours=wanted == "all")
        if reference is not None:
            scores = metrics.score_all((composite, result), reference, foreground, structure=wanted == "all")
    return {**_columns(scores[1], ""), **_columns(scores[0], "input_"), **dataclasses.asdict(seen)}


def _columns(scores: metrics.Scores | None, prefix: str) -> dict[str, Any]:
    return {prefix + field.name: getattr(scores, field.name, None) for field in dataclasses.fields(metrics.Scores)}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
