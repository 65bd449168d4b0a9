"""Values that travel in blocks."""

from collections import Counter

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from hdnet.pipeline.steps import blocks


@pytest.mark.parametrize(("size", "most"), [(250, 10_000), (7, 10_000), (250, 20)])
def test_a_group_has_every_value_once(monkeypatch, size, most):
    monkeypatch.setattr(blocks, "SIZE", size)
    monkeypatch.setattr(blocks, "OPEN", most)
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as root:
        collections = tuple(root | f"From{start}" >> beam.Create(range(start, start + 50)) for start in (0, 50))
        groups = collections | blocks.GroupInBlocks(lambda value, modulus: value % modulus, (3,))
        found = groups | beam.MapTuple(lambda key, packed: (key, sorted(blocks.values(packed))))
        assert_that(found, equal_to([(key, list(range(key, 100, 3))) for key in range(3)]))


@pytest.mark.parametrize("size", [1, 30, 1000])
def test_every_value_is_spread_once(size):
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as root:
        found = root | beam.Create(range(100)) | blocks.SpreadInBlocks(size)
        assert_that(found, equal_to(list(range(100))))


@pytest.mark.parametrize(("size", "most", "sizes"), [(4, 100, {4: 4, 1: 4}), (100, 6, {2: 6, 1: 8}), (1, 9, {1: 20})])
def test_no_more_values_are_held_than_allowed(monkeypatch, size, most, sizes):
    monkeypatch.setattr(blocks, "OPEN", most)
    pack = blocks.Pack(size)
    pack.start_bundle()
    made = [block for i in range(20) for block in pack.process((i % 4, i))]
    rest = [each.value for each in pack.finish_bundle()]
    assert Counter(len(blocks.unpack(packed)) for _, packed in [*made, *rest]) == sizes
