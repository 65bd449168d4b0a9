"""Ten nights of one catalog: bad files from the first on, new ones before the sixth, a new column before the eighth."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars
import pyarrow as pa

from hdnet.pipeline.report import closing
from tests.catalogs import write_catalog, write_weights
from tests.test_queries import READERS, VIEWS

NIGHTS, BREAKS, GROWS = 10, 6, 8
COLUMN = "brand"


class Night(NamedTuple):
    """How a night ended: its exit code, the totals of its record, and the alerts in the log of such a job."""

    number: int
    exit_code: int
    totals: dict[str, Any]
    alerts: list[str]


class Shop:
    """A catalog that changes.

    Args:
        root: Folder for its files and the output.
        pairs: Pairs in all.
        bad: How many of them have never worked.
        new: How many more break before night `BREAKS`.
        changed: How many get other pictures every night from the second on.
    """

    def __init__(self, root: Path, pairs: int, bad: int, new: int, changed: int) -> None:
        self.output, self.changed, self.new = root / "out", changed, new
        self.most = (bad + new) / pairs
        self.manifest, self.weights = write_catalog(root, pairs - bad, bad), write_weights(root / "tiny.safetensors")
        self.good = sorted(path for path in (root / "composites").iterdir() if len(path.stem) < 5)

    def nights(
        self, run: Callable[[Sequence[str]], int], numbers: Sequence[int] = range(1, NIGHTS + 1)
    ) -> Iterator[Night]:
        """Run the nights, or some of them.

        Args:
            run: Runs the command with these arguments and returns its exit code.
            numbers: Those nights.
        """
        for number in numbers:
            self.pass_a_day(number)
            name = f"night-{number:02}"
            places = ["--input", str(self.manifest), "--output", str(self.output), "--weights", str(self.weights)]
            code = run([*places, "--run-id", name, "--max-failure-rate", str(self.most)])
            content = json.loads((self.output / f"runs/{name}.json").read_text())
            logged = [line.partition(":")[0] for _, line in closing.log_lines(content, self.most)[1:]]
            yield Night(number, code, content["totals"], logged)

    def pass_a_day(self, night: int) -> None:
        """Change what changes before a night."""
        if night > 1:
            for path in self.good[self.new :][(night - 2) * self.changed : (night - 1) * self.changed]:
                os.utime(path)
        if night == BREAKS:
            for path in self.good[: self.new]:
                path.write_bytes(path.read_bytes()[:40])
        if night == GROWS:
            rows = list(csv.DictReader(self.manifest.read_text().splitlines()))
            with self.manifest.open("w", newline="") as file:
                writer = csv.DictWriter(file, [*rows[0], COLUMN])
                writer.writeheader()
                writer.writerows({**row, COLUMN: "Acme"} for row in rows)


class Read(NamedTuple):
    """What a reader sees of all nights as one table: rows, runs among them, and rows with the new column."""

    rows: int
    runs: int
    grown: int


def read(output: Path) -> dict[str, Read]:
    """Read the metrics of all nights as docs/queries.md says, by reader."""
    found: dict[str, Any] = {}
    exec(READERS.replace("OUTPUT", str(output)), found)
    table: pa.Table = found["table"]
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    pandas = table.to_pandas()
    database = duckdb.connect()
    database.execute(VIEWS.replace("OUTPUT", str(output)))
    (counts,) = database.sql(f"SELECT COUNT(*), COUNT(DISTINCT run_id), COUNT({COLUMN}) FROM metrics").fetchall()
    return {
        "pyarrow": Read(len(table), len(table["run_id"].unique()), len(table) - table[COLUMN].null_count),
        "polars": Read(len(frame), frame["run_id"].n_unique(), frame[COLUMN].count()),
        "pandas": Read(len(pandas), pandas["run_id"].nunique(), int(pandas[COLUMN].notna().sum())),
        "DuckDB": Read(*counts),
    }
