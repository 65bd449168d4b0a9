"""Marks on results that look wrong."""

import math

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from hdnet.pipeline.steps import flags, outliers
from tests.run_samples import row


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ({}, ""),
        ({"newly_clipped_ratio": 0.021}, "clipped"),
        ({"delta_e": 8.1, "newly_clipped_ratio": 0.5}, "clipped,shift"),
        ({"delta_e": 8.1}, "shift"),
        ({"foreground_ratio": 0.0}, "mask"),
        ({"foreground_ratio": 1.0}, "mask"),
        ({"foreground_ratio": 0.6, "border_ratio": 0.9}, "inverted"),
        ({"foreground_ratio": 0.6, "border_ratio": 0.4}, ""),
        ({"foreground_ratio": 0.4, "border_ratio": 0.9}, ""),
        ({"psnr": 29.9, "input_psnr": 30.0}, "worse"),
        ({"psnr": 30.0, "input_psnr": 30.0}, ""),
        ({"delta_e": None, "newly_clipped_ratio": None}, ""),
    ],
)
def test_what_looks_wrong_is_marked(values, marks):
    assert flags.flagged(row(**values), largest=8.0)["flags"] == marks


@pytest.mark.parametrize(("count", "fewest", "most"), [(3000, 1, 5), (999, 0, 0)])
def test_one_image_in_a_thousand_is_an_outlier_of_a_large_run(count, fewest, most):
    def marks_few(found):
        (largest,) = found
        assert fewest <= sum(row["delta_e"] > largest for row in rows) <= most

    rows = [row(str(i), delta_e=float(i * 7919 % count)) for i in range(count)]
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as root:
        assert_that(root | beam.Create(rows) | outliers.LargestUsual(), marks_few)


def test_a_run_without_a_row_has_no_outlier():
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as root:
        assert_that(root | beam.Create([]) | outliers.LargestUsual(), equal_to([math.inf]))
