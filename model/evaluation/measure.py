"""Measures every pair on its own, then writes tables, a contact sheet and a page."""

import dataclasses
import io
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from PIL import Image

from hdnet.model import team
from hdnet.model.evaluation import baseline, contact_sheet, page, protocol, records, tables
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.progress import ProgressLine
from hdnet.model.weights import weights_file
from hdnet.transforms import storage, text
from hdnet.transforms.catalog import datasets, manifest
from hdnet.transforms.errors import DatasetError, HarmonizeError, StorageError
from hdnet.transforms.scores import metrics
from hdnet.transforms.storage import storage_errors

METRICS, FAILURES, TABLES, SHEET = "metrics.parquet", "failures.parquet", "tables.md", "contact_sheet.png"
PAGE = "index.html"
OUTPUTS = (METRICS, FAILURES, TABLES, "table1.csv", "table2.csv", "table3.csv", SHEET, PAGE)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation: the measured rows, the pairs that failed, the tables (none without a row)."""

    rows: list[records.Row]
    failures: list[records.Failure]
    tables: list[tables.Table]


def read_pairs(root: Path, split: str, subsets: Sequence[str] = (), limit: int | None = None) -> list[manifest.Pair]:
    """Read the pairs to measure, or `limit` of them spread evenly over the list.

    Raises:
        DatasetError: As for `datasets.read_root`, or there are no real photos to measure against.
        ManifestError: As for `datasets.read_root`.
    """
    pairs = datasets.read_root(root, split, subsets)
    if any(pair.reference is None for pair in pairs):
        raise DatasetError(f"{root}: an evaluation needs the real photos; put them in references/")
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[i * len(pairs) // limit] for i in range(limit)]


def claim(output: Path, overwrite: bool) -> None:
    """Make the output folder, free of an older evaluation's files.

    Raises:
        HarmonizeError: It holds some, and they are not to be overwritten.
        StorageError: The folder cannot be made or cleared.
    """
    old = [name for name in OUTPUTS if (output / name).exists()]
    if old and not overwrite:
        raise HarmonizeError(f"{output} holds {', '.join(old)}: add --overwrite, or choose another --output")
    try:
        for name in old:
            (output / name).unlink()
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {storage_errors.reason(error, str(output))}") from error


def evaluate(
    pairs: Sequence[manifest.Pair], harmonizer: Harmonizer, output: Path, how: protocol.Protocol, name: str
) -> Evaluation:
    """Measure the pairs and write `OUTPUTS` into the folder, without tables, sheet and page where every pair failed.

    Memory does not grow with the number of pairs: on a CPU several are in work as far as free memory holds them, and
    the twelve that are shown are read again.

    Args:
        pairs: The pairs, each with a reference.
        harmonizer: The network.
        output: An existing folder.
        how: The protocol.
        name: The network's name in tables and files.
    """
    measured, failures = measure_all(pairs, harmonizer, how)
    records.write_metrics(output / METRICS, measured, name, weights_file.digest(harmonizer.network.state_dict()))
    records.write_failures(output / FAILURES, failures)
    made = [make(measured, name) for make in (tables.by_group, tables.by_ratio, tables.medians) if measured]
    if made:
        _write_tables(output, made)
        title = f"{name}, {how} protocol, {text.plural(len(measured), 'image')}"
        groups = _draw(pairs, measured, harmonizer, how)
        _write_sheet(output / SHEET, title, groups)
        cards = {heading: [drawn.card for drawn in group] for heading, group in groups.items()}
        storage.write(output / PAGE, page.render(title, name, measured, failures, made, cards).encode())
    return Evaluation(measured, failures, made)


def measure_all(
    pairs: Sequence[manifest.Pair], harmonizer: Harmonizer, how: protocol.Protocol
) -> tuple[list[records.Row], list[records.Failure]]:
    """Measure all pairs; an expected error becomes a failure, every other exception stops the run."""
    measured: list[records.Row] = []
    failures: list[records.Failure] = []
    progress = ProgressLine(len(pairs))
    room = team.Room(psutil.virtual_memory().available // 2)

    def attempt(pair: manifest.Pair) -> records.Row | records.Failure:
        try:
            return measure(pair, harmonizer, how, room)
        except HarmonizeError as error:
            return records.Failure(pair.id, type(error).__name__, str(error))

    for done, found in enumerate(team.side_by_side(attempt, pairs, harmonizer.device), 1):
        if isinstance(found, records.Row):
            measured.append(found)
        else:
            failures.append(found)
        progress.update(done, lambda: _detail(measured, failures))
    return measured, failures


def measure(pair: manifest.Pair, harmonizer: Harmonizer, how: protocol.Protocol, room: team.Room) -> records.Row:
    """Decode one pair; harmonize and score it when there is room for that.

    Raises:
        HarmonizeError: As for `protocol.load` and `protocol.harmonize`.
    """
    decoded = protocol.load(pair, how)
    with room.hold(harmonizer.estimate(*decoded.mask.shape)):
        return _score(pair, decoded, harmonizer, how)


def _score(
    pair: manifest.Pair, decoded: protocol.DecodedPair, harmonizer: Harmonizer, how: protocol.Protocol
) -> records.Row:
    began = time.perf_counter()
    result = protocol.harmonize(decoded, harmonizer, how)
    seconds = time.perf_counter() - began
    images = (decoded.composite, result, baseline.reinhard(decoded.composite, decoded.mask))
    of_composite, of_network, of_reinhard = metrics.score_all(images, decoded.real, decoded.foreground)
    return records.Row(
        id=pair.id,
        group=pair.group,
        protocol=how,
        width=decoded.mask.shape[1],
        height=decoded.mask.shape[0],
        foreground_ratio=float(decoded.foreground.mean()),
        network=of_network,
        composite=of_composite,
        reinhard=of_reinhard,
        seconds=seconds,
    )


def _detail(measured: Sequence[records.Row], failures: Sequence[records.Failure]) -> str:
    gain = f"gain {statistics.fmean(row.gain for row in measured):+.2f} dB" if measured else "none measured"
    return f"{gain}, {len(failures)} failed" if failures else gain


def _write_tables(output: Path, made: Sequence[tables.Table]) -> None:
    storage.write(output / TABLES, "\n".join(table.markdown() for table in made).encode())
    for number, table in enumerate(made, 1):
        storage.write(output / f"table{number}.csv", table.csv().encode())


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """An image as the contact sheet and as the page show it."""

    tile: Image.Image
    card: page.Card


def _draw(
    pairs: Sequence[manifest.Pair], measured: Sequence[records.Row], harmonizer: Harmonizer, how: protocol.Protocol
) -> dict[str, list[_Drawn]]:
    by_id = {pair.id: pair for pair in pairs}

    def draw(row: records.Row) -> _Drawn:
        decoded = protocol.load(by_id[row.id], how)
        result = protocol.harmonize(decoded, harmonizer, how)
        return _Drawn(contact_sheet.tile(row, decoded, result), page.card(row, decoded, result))

    return {heading: [draw(row) for row in rows] for heading, rows in contact_sheet.choose(measured).items()}


def _write_sheet(path: Path, title: str, drawn: Mapping[str, Sequence[_Drawn]]) -> None:
    groups = [contact_sheet.TileGroup(heading, [each.tile for each in group]) for heading, group in drawn.items()]
    buffer = io.BytesIO()
    contact_sheet.sheet(title, groups).save(buffer, "PNG")
    storage.write(path, buffer.getvalue())
