"""Where results lie is what the command's help says."""

from hdnet.pipeline.layout import Layout, journal_name, part_name
from hdnet.pipeline.run import main


def test_the_help_names_every_place():
    layout = Layout("OUTPUT", "<run>")
    told = [line.split()[0] for line in str(main.help).splitlines() if line.strip().startswith("OUTPUT/")]
    parts = part_name(0, 1).partition("-")[0] + "-*.parquet"
    assert told == [
        layout.image("<id>", ".<ext>"),
        f"{layout.metrics}/{parts}",
        f"{layout.failures}/{parts}",
        layout.summary,
    ]


def test_another_run_lies_beside_it_and_shares_its_images():
    first = Layout("gs://shop/out", "r1")
    second = first.of_run("r2")
    assert (second.metrics, second.report) == ("gs://shop/out/metrics/run_id=r2", "gs://shop/out/runs/r2.html")
    assert second.images == first.images and first.metrics.startswith(f"{first.all_metrics}/")
    assert journal_name() != journal_name()
