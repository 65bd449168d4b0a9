"""What a run says night after night; `python -m tests.benchmarks.nights ten` does the same with 500 pairs."""

from click.testing import CliRunner

from hdnet.pipeline.report.closing import NEW_FAILURES
from hdnet.pipeline.run import main
from tests.ten_nights import BREAKS, GROWS, Read, Shop, read


def test_the_nights_on_which_something_happens(tmp_path):
    shop = Shop(tmp_path, pairs=15, bad=2, new=1, changed=1)
    numbers = (1, 2, BREAKS, BREAKS + 1, GROWS)
    nights = list(
        shop.nights(
            lambda given: CliRunner().invoke(main, [*given, "--workers", "1", "--no-report"]).exit_code, numbers
        )
    )
    assert [night.exit_code for night in nights] == [0] * len(numbers)
    names = ("done", "skipped", "failed", "new")
    assert [tuple(night.totals[name] for name in names) for night in nights] == [
        (13, 0, 2, 2), (1, 12, 2, 0), (1, 11, 3, 1), (1, 11, 3, 0), (1, 11, 3, 0),
    ]  # fmt: skip
    assert [night.number for night in nights if night.alerts == [NEW_FAILURES]] == [1, BREAKS]
    assert set(read(shop.output).values()) == {Read(rows=17, runs=len(numbers), grown=1)}
