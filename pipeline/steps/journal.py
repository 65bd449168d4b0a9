"""Metrics rows on disk while a run goes on, so that whoever comes after a crash finds what was done.

They lie beside the run's other tables, as files of their own, until the run's own files replace them.
"""

import logging
import time
import uuid

import pyarrow as pa

from hdnet.pipeline.rows import Record
from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms import storage
from hdnet.transforms.errors import OutputError, StorageError

log = logging.getLogger(__name__)

PREFIX = "journal-"
SHORTEST, LONGEST, SHARE = 1.0, 300.0, 0.02
"""Seconds between two files, at least and at most; and their share of the time so far, which bounds the files."""


class Journal:
    """One thread's rows.

    Args:
        folder: URI of the run's metrics.
        schema: Of the rows.
    """

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema
        self.rows: list[Record] = []
        self.began = self.written = time.monotonic()

    def add(self, row: Record) -> None:
        """Keep a row; writes those kept so far if the last file is old enough.

        Raises:
            OutputError: Nothing can be written any more.
        """
        self.rows.append(row)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the rows kept so far to a new file if the last one is old enough; kept longer where that fails.

        Raises:
            OutputError: Nothing can be written any more.
        """
        now = time.monotonic()
        if not self.rows or now - self.written <= min(LONGEST, max(SHORTEST, SHARE * (now - self.began))):
            return
        name, self.written = f"{PREFIX}{uuid.uuid4().hex}.parquet", now
        try:
            storage.write(storage.join(self.folder, name), to_parquet(self.rows, self.schema))
        except OutputError:
            raise
        except StorageError as error:
            log.warning("%s", error)
        else:
            self.rows = []
