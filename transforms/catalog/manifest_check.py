"""Check a manifest from its first row to its last, in one process and with little memory, before anything runs."""

import dataclasses
import itertools
from array import array
from collections.abc import Callable, Container, Iterator

import numpy as np

from hdnet.transforms.catalog import manifest, manifest_parts
from hdnet.transforms.catalog.layouts import BY_STEM, Names, Passed
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.catalog.rows import FailureRow
from hdnet.transforms.errors import HarmonizeError, ManifestError

MAX_COLUMNS = 1000
MAX_SUSPECTS = 100_000
MAX_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class ManifestInfo:
    """What a valid manifest holds.

    Attributes:
        uri: URI of the manifest.
        format: "csv", "jsonl", "parquet", "list" or "folder".
        rows: The number of pairs.
        with_reference: The number of pairs with a reference.
        extra: Names of further columns; for JSONL those that any row has.
        passed: Files that the listing of a folder passed over, by the reason.
    """

    uri: str
    format: str
    rows: int
    with_reference: int
    extra: tuple[str, ...]
    passed: Passed = dataclasses.field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, those of a pair first."""
        return (*manifest.REQUIRED, *(["reference"] if self.with_reference else []), *self.extra)


def check(uri: str, check_pair: Callable[[Pair], object] = lambda _: None, names: Names = BY_STEM) -> ManifestInfo:
    """Read every row once, and a second time only if two ids seem to be the same.

    Memory grows by 8 bytes for each row, a hash of its id.

    Args:
        uri: As for `manifest_parts.plan`.
        check_pair: Raises a HarmonizeError for a pair that breaks a rule of the caller's.
        names: As for `manifest_parts.plan`.

    Raises:
        ManifestError: The manifest cannot be read, holds no pair or breaks a rule, or two rows have ids that some disk
            would not tell apart; the message names up to ten of the lines.
    """
    tally = _Tally(check_pair)
    kind, passed = "", Passed()
    for part in manifest_parts.plan(uri, None, names, passed):
        kind = part.format
        for entry in manifest_parts.read(part, passed):
            tally.add(entry)
    doubles = duplicates(uri, _repeated(tally.hashes), names)
    problems = [*tally.problems, *itertools.islice(doubles, MAX_SHOWN - len(tally.problems))]
    if problems:
        more = f"{tally.bad} bad rows, " if tally.bad > MAX_SHOWN else ""
        raise ManifestError("\n  ".join([f"{uri}: {more}the first problems:", *problems]))
    if not tally.rows:
        raise ManifestError(f"{uri}: it holds no pair")
    try:
        manifest.check_names(tally.extra)
    except ManifestError as error:
        raise ManifestError(f"{uri}: {error}") from error
    return ManifestInfo(uri, kind, tally.rows, tally.with_reference, tuple(tally.extra), passed)


def duplicates(uri: str, suspects: Container[int], names: Names = BY_STEM) -> Iterator[str]:
    """Yield a message for each pair that has the id of an earlier pair, among the ids with a suspect hash."""
    first: dict[str, Pair] = {}
    for entry in manifest_parts.rows(uri, names) if suspects else ():
        if not isinstance(entry, Pair):
            continue
        key = manifest.fold(entry.id)
        if hash(key) in suspects and first.setdefault(key, entry) is not entry:
            yield f"{entry.source}: {_likeness(entry, first[key])}"


class _Tally:
    """Collects what one pass over a manifest finds."""

    def __init__(self, check_pair: Callable[[Pair], object]) -> None:
        self.check_pair = check_pair
        self.rows = self.with_reference = self.bad = 0
        self.problems: list[str] = []
        self.extra: dict[str, None] = {}
        self.hashes = array("q")

    def add(self, entry: Pair | FailureRow) -> None:
        if isinstance(entry, FailureRow):
            return self._add_problem(entry.message)
        try:
            self.check_pair(entry)
        except HarmonizeError as error:
            self._add_problem(f"{entry.source}: {error}")
        self.rows += 1
        self.with_reference += entry.reference is not None
        self.hashes.append(hash(manifest.fold(entry.id)))
        for name, _ in entry.extra:
            self.extra[name] = None
        if len(self.extra) > MAX_COLUMNS:
            raise ManifestError(f"{entry.source}: the rows have more than {MAX_COLUMNS} different columns")

    def _add_problem(self, message: str) -> None:
        self.bad += 1
        if len(self.problems) < MAX_SHOWN:
            self.problems.append(message)


def _repeated(hashes: "array[int]") -> set[int]:
    values = np.frombuffer(hashes, np.int64)
    values.sort()  # in place: no second copy
    again = values[1:][values[1:] == values[:-1]]
    # Ten of these are shown. The rest leave room for ids whose hashes are equal by chance, one in millions.
    return set(np.unique(again)[:MAX_SUSPECTS].tolist())


def _likeness(pair: Pair, earlier: Pair) -> str:
    where = earlier.source.rpartition(", ")[2]
    if pair.id == earlier.id:
        return f"id {manifest.show(pair.id)} is already used in {where}"
    return (
        f"id {manifest.show(pair.id)} differs from {manifest.show(earlier.id)}, in {where}, only by case or accents: "
        "some disks would store both images in one file"
    )
