"""What the command makes of its arguments."""

from hdnet.pipeline import runners
from hdnet.pipeline.request import Request
from hdnet.pipeline.run import main


def runner(*arguments: str, run_id: str = "a") -> runners.Runner:
    """Return the runner that the command would choose; the catalog and the output are in a bucket unless given."""
    places = ("--input", "gs://b/pairs.csv", "--output", "gs://b/out")
    options = main.make_context("hdnet-harmonize", [*places, *arguments]).params
    return runners.choose(Request(**options | {"run_id": run_id}))
