"""Which failures are known from earlier runs."""

import pytest

from hdnet.pipeline.steps import blocks
from hdnet.pipeline.steps.known_failures import mark, read_earlier
from hdnet.pipeline.steps.write import to_parquet
from hdnet.transforms.catalog.rows import FAILURES_SCHEMA
from tests.run_samples import failed


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({}, "one"),
        ({"message": "a.png needs 1.5 GB, more than the 1.0 GB there are"}, "one"),
        ({"message": "a.png is empty"}, None),
        ({"error": "SizeError"}, None),
        ({"composite": "other.png"}, None),
        ({"id": "c"}, None),
    ],
)
def test_a_failure_is_known_by_its_pair_its_files_and_its_reason(tmp_path, changed, known):
    row = failed("b", message="a.png needs 0.5 GB, more than the 0.2 GB there are") | {"composite": "a.png"}
    path = tmp_path / "failures/run_id=one/part-0.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(to_parquet([row], FAILURES_SCHEMA))
    earlier = list(read_earlier(str(path), str(tmp_path / "failures/run_id=two")))
    (marked,) = mark(0, [blocks.pack([*earlier, row | changed])])
    assert marked["known_since"] == known
