"""Where a run's results lie in the output folder, as the documentation and the BigQuery tables describe it."""

import dataclasses
import uuid
from typing import Literal

TableName = Literal["metrics", "failures"]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The places of one run.

    Attributes:
        output: Root of the output, a path or URI without a slash at its end.
        run_id: Name of the run.
    """

    output: str
    run_id: str

    @property
    def images(self) -> str:
        """Folder of the images, which all runs share."""
        return f"{self.output}/images"

    @property
    def all_metrics(self) -> str:
        """Folder of every run's metrics."""
        return f"{self.output}/metrics"

    @property
    def metrics(self) -> str:
        """Folder of this run's metrics, partitioned as in Hive."""
        return self.table("metrics")

    @property
    def failures(self) -> str:
        """Folder of this run's failures."""
        return self.table("failures")

    @property
    def summary(self) -> str:
        """JSON file with the totals; it is written last and marks the run as complete."""
        return f"{self.output}/runs/{self.run_id}.json"

    @property
    def report(self) -> str:
        """HTML report."""
        return f"{self.output}/runs/{self.run_id}.html"

    @property
    def history(self) -> str:
        """HTML page of all runs of the output."""
        return f"{self.output}/runs/index.html"

    @property
    def probe(self) -> str:
        """Empty file that is written and removed before a run, to find out whether the output can be written."""
        return f"{self.output}/runs/{self.run_id}.probe"

    def table(self, name: TableName) -> str:
        """Return the folder of one of this run's tables."""
        return f"{self.output}/{name}/run_id={self.run_id}"

    def image(self, identity: str, suffix: str) -> str:
        """Return the URI of a pair's image."""
        return f"{self.images}/{identity}{suffix}"

    def of_run(self, run_id: str) -> "Layout":
        """Return the places of another run in the same output."""
        return dataclasses.replace(self, run_id=run_id)


def part_name(number: int, files: int) -> str:
    """Return the name of one of a table's files."""
    return f"part-{number:05}-of-{files:05}.parquet"


def journal_name() -> str:
    """Return a new name for a file of rows that is written while a run goes on; the parts replace it at the end."""
    return f"journal-{uuid.uuid4().hex}.parquet"
