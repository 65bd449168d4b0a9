"""What an output holds as a whole, by the tables of all of its runs: the newest row of a pair counts."""

import concurrent.futures
import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from hdnet.pipeline.layout import Layout
from hdnet.pipeline.steps.earlier_runs import list_tables, run_of
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import FAILURES_SCHEMA, METRICS_SCHEMA, Record
from hdnet.transforms.errors import StorageError

READERS = 16
"""Files that are read at a time: an object store answers each after some 50 ms."""
IMAGES = pa.schema([METRICS_SCHEMA.field(name) for name in ("id", "harmonized_at")])
"""The columns that are read of the metrics: a million rows take some 50 MB."""


@dataclasses.dataclass(frozen=True)
class State:
    """The newest of what is known of each pair.

    Attributes:
        images: The number of pairs whose newest row is an image.
        newest: When the newest image was made; None where there is none.
        failed: Rows of the pairs whose newest row is a failure, with their `run_id`; new failures first, then by id.
        done: The number of images in each run's tables, by the run's name.
    """

    images: int
    newest: datetime | None
    failed: Sequence[Record]
    done: Mapping[str, int]


def read(output: str, finished: Mapping[str, datetime], since: datetime | None) -> State:
    """Read the tables of all runs.

    Args:
        output: Root of the output.
        finished: When each complete run ended, by its name: failures of older programs hold no time.
        since: When the last run began that took up the whole manifest; a pair that has not failed since then is done,
            or has left the manifest. None where no run did.

    Raises:
        StorageError: A table cannot be read.
    """
    layout = Layout(output, "")
    images, failures = _read(layout.all_metrics, IMAGES), _read(layout.all_failures, FAILURES_SCHEMA)
    done = pa.concat_tables([IMAGES.empty_table(), *images.values()])
    done = done.group_by("id").aggregate([("harmonized_at", "max")])
    failed = _newest(_failures(failures, finished), since)
    among = pc.is_in(done["id"], pa.array(list(failed), pa.string()))
    made = {row["id"]: row["harmonized_at_max"] for row in done.filter(among).to_pylist()}
    last = [row for key, row in failed.items() if key not in made or made[key] < row["failed_at"]]
    counts: Counter[str] = Counter()
    for uri, table in images.items():
        counts[run_of(uri)] += table.num_rows
    return State(
        images=done.num_rows - sum(row["id"] in made for row in last),
        newest=pc.max(done["harmonized_at_max"]).as_py(),
        failed=sorted(last, key=lambda row: (row["known_since"] is not None, str(row["id"]))),
        done=counts,
    )


def _read(folder: str, schema: pa.Schema) -> dict[str, pa.Table]:
    uris = list_tables(folder)
    with concurrent.futures.ThreadPoolExecutor(READERS) as threads:
        return dict(zip(uris, threads.map(lambda uri: _columns(uri, schema), uris), strict=True))


def _columns(uri: str, schema: pa.Schema) -> pa.Table:
    """Read columns of a file; those that it lacks are null, and a journal that is gone by now is empty."""
    try:
        data = storage.read(uri)
    except StorageError:
        if "/_journal-" in uri:  # its run has just become complete
            return schema.empty_table()
        raise
    try:
        with parquet.ParquetFile(io.BytesIO(data)) as file:
            table = file.read([name for name in schema.names if name in file.schema_arrow.names])
        columns = [
            table[field.name].cast(field.type) if field.name in table.schema.names else pa.nulls(len(table), field.type)
            for field in schema
        ]
        return pa.table(columns, schema=schema)
    except pa.ArrowException as error:
        raise StorageError(f"{uri} is not a Parquet file of a run ({error}): remove it") from error


def _failures(tables: Mapping[str, pa.Table], finished: Mapping[str, datetime]) -> Iterable[Record]:
    for uri, table in tables.items():
        run_id = run_of(uri)
        unknown = finished.get(run_id, datetime.min.replace(tzinfo=UTC))
        for row in table.to_pylist():
            yield {**row, "failed_at": row["failed_at"] or unknown, "run_id": run_id}


def _newest(failures: Iterable[Record], since: datetime | None) -> dict[str, Record]:
    """Return the newest failure of each pair, by its id, or by its place in the manifest where it has none."""
    found: dict[str, Record] = {}
    for row in failures:
        key = str(row["id"] or row["source"])
        late = since is None or row["failed_at"] >= since
        if late and (key not in found or found[key]["failed_at"] < row["failed_at"]):
            found[key] = row
    return found
