"""The DoFn that harmonizes: what it counts, and that it loads the weights once."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import harmonize, pair
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from tests.catalogs import write_catalog, write_weights


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Run five good pairs and two broken ones; return counters, distributions and how often weights were loaded."""
    loads, load = [], pair.Harmonizing.of

    def counting(settings):
        loads.append(settings)
        return load(settings)

    monkeypatch.setattr(pair.Harmonizing, "of", counting)
    settings = Settings(output=str(tmp_path), run_id="a", weights=str(write_weights(tmp_path / "w.safetensors")))
    pairs = list(manifest_parts.rows(str(write_catalog(tmp_path / "in", good=5, broken=2))))
    root = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([]))
    root | beam.Create([Task(pair) for pair in pairs if isinstance(pair, Pair)]) | harmonize.HarmonizePairs(settings)
    found = root.run().metrics().query()
    counters = {(c.key.metric.namespace, c.key.metric.name): c.committed for c in found["counters"]}
    spread = {(d.key.metric.namespace, d.key.metric.name): d.committed for d in found["distributions"]}
    return counters, spread, len(loads)


def test_images_pixels_bytes_and_failures_are_counted(counted, tmp_path):
    counters, spread, loads = counted
    assert counters["harmonize", "images"] == 5 and counters["failures", "DecodeError"] == 2
    assert counters["harmonize", "pixels"] > 5 * 16 * 16
    written = sum(path.stat().st_size for path in (tmp_path / "images").rglob("*.*"))
    assert spread["bytes", "written"].sum == written and spread["bytes", "read"].count == 5
    assert spread["milliseconds", "network"].count == 5
    assert loads == 1
