"""Metrics rows on disk while a run goes on, so that the next run after a crash finds what was done.

They lie beside the run's other tables in files of their own, until the run's final files replace them.
"""

import logging
import time

import pyarrow as pa

from hdnet.pipeline import layout
from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms import storage
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.errors import OutputError, StorageError

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 1.0, 300.0
"""Limits in seconds of the time between two files."""
FRACTION = 0.02
"""Time between two files, within those limits, as a fraction of the time so far; it bounds the number of files."""


class Journal:
    """The rows of one thread.

    Args:
        folder: URI of the run's metrics.
        schema: Schema of the rows.
    """

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema
        self.rows: list[Record] = []
        self.began = self.written = time.monotonic()

    def add(self, row: Record) -> None:
        """Keep a row, and write all that are kept if the last file is old enough.

        Raises:
            OutputError: Nothing can be written any more.
        """
        self.rows.append(row)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the rows that are kept to a new file if the last one is old enough; keep them where that fails.

        Raises:
            OutputError: Nothing can be written any more.
        """
        now = time.monotonic()
        if not self.rows or now - self.written <= min(LONGEST, max(SHORTEST, FRACTION * (now - self.began))):
            return
        self.written = now
        try:
            storage.write(storage.join(self.folder, layout.journal_name()), to_parquet(self.rows, self.schema))
        except OutputError:
            raise
        except StorageError as error:
            log.warning("%s", error)
        else:
            self.rows = []
