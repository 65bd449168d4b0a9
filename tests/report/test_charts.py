"""Where bars, lines and ticks go."""

import pytest

from hdnet.pipeline.report import charts
from hdnet.transforms.pages import plots
from tests.run_samples import compared, row, summary


def test_bars_are_as_high_as_their_counts():
    chart = charts.chart(charts.KINDS[2], summary(*(row(str(i), delta_e=value) for i, value in enumerate((0.5, 3, 3)))))
    assert [round(bar.height) for bar in chart.plot.bars[:4]] == [69, 0, 0, 138]
    assert chart.plot.bars[3].label == "3 to 4: 2" and chart.means == ("2.17",)
    assert [tick.text for tick in chart.plot.up] == ["0", "1", "2"]
    assert [tick.text for tick in chart.plot.across] == ["0", "2", "4", "6", "8"]


def test_the_ends_of_a_histogram_say_that_they_count_the_rest():
    labels = [bar.label for bar in charts.chart(charts.KINDS[0], summary(compared("a", 3, 99))).plot.bars]
    assert labels[0] == "less than 11.25: 0" and labels[-1] == "58.75 and more: 1"


@pytest.mark.parametrize("before, after", [(3, 3), (10, 60), (30, 30.1), (99, 99)])
def test_before_and_after_are_drawn_on_one_scale(before, after):
    chart = charts.chart(charts.KINDS[0], summary(compared("a", before, after)))
    points = [tuple(map(float, point.split(","))) for point in chart.plot.line.split()]
    assert min(y for _, y in points) == min(bar.y for bar in chart.plot.bars) == charts.FRAME.top
    assert all(charts.FRAME.left <= x <= charts.FRAME.right for x, _ in points)
    assert len(chart.plot.bars) >= charts.FEWEST_BINS and 2 <= len(chart.plot.across) <= plots.MOST_TICKS + 1
