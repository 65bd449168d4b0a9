"""Reading manifests with Beam, on the local runner."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from hdnet.pipeline.steps.read import ReadPairs


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([]))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["id,composite,mask,sku", *(f'a{i},c.jpg,m.png,"s\n{i}"' for i in range(300)), "../x,c.jpg,m.png,"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


def test_every_row_is_a_pair_or_a_failure_with_its_line(table: Path) -> None:
    with pipeline() as root:
        pairs, failures = root | ReadPairs(str(table), part_bytes=1000)
        ids = pairs | "Ids" >> beam.Map(lambda pair: (pair.id, pair.extra, pair.source.rpartition(" ")[2]))
        assert_that(ids, equal_to([(f"a{i}", (("sku", f"s\n{i}"),), str(2 + 2 * i)) for i in range(300)]), "Pairs")
        found = failures | "Found" >> beam.Map(lambda row: (row["id"], row["source"], row["stage"], row["error"]))
        assert_that(found, equal_to([("../x", f"{table}, line 602", "manifest", "ManifestError")]), "Failures")


def test_a_limit_reads_the_first_rows(table: Path) -> None:
    with pipeline() as root:
        pairs, _ = root | ReadPairs(str(table), limit=3)
        assert_that(pairs | beam.Map(lambda pair: pair.id), equal_to(["a0", "a1", "a2"]))


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"part_bytes": 0}])
def test_values_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 1: 0"):
        ReadPairs("pairs.csv", **wrong)


def test_a_manifest_that_cannot_be_read_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"gone\.csv: cannot be read"), pipeline() as root:
        root | ReadPairs(str(tmp_path / "gone.csv"))  # type: ignore[unused-ignore]
