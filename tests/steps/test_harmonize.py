"""The DoFn that harmonizes: what it counts, what it gives back, and that it loads the weights once."""

import fcntl

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from hdnet.pipeline.settings import Machine, Settings
from hdnet.pipeline.steps import harmonize, pair
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from hdnet.transforms.errors import OutputError
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


@pytest.fixture
def begun(tmp_path):
    """A DoFn that has been given a pair, which is read ahead."""
    weights = str(write_weights(tmp_path / "w.safetensors"))
    settings = Settings(output=str(tmp_path), run_id="a", weights=weights, machine=Machine(scratch=str(tmp_path)))
    made = harmonize.HarmonizePair(settings)
    made.setup()
    made.start_bundle()
    (only,) = manifest_parts.rows(str(write_catalog(tmp_path / "in", good=1, broken=0)))
    assert isinstance(only, Pair) and not list(made.process(Task(only)))
    yield made
    made.teardown()


def test_an_image_that_cannot_be_written_ends_the_bundle(begun, monkeypatch):
    def fail(uri, data):
        raise OutputError(f"{uri}: the disk is full")

    monkeypatch.setattr(storage, "write", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        list(begun.finish_bundle())


def test_the_end_of_a_worker_gives_back_the_memory_of_what_it_has_read_ahead(begun, tmp_path):
    begun.relay.ahead.first.result()
    with (tmp_path / "giants.lock").open("rb") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begun.teardown()
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
