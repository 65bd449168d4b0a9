"""What the record of a run says of its options: enough to run it again."""

from hdnet.pipeline.request import Request
from hdnet.pipeline.run import main

ELSEWHERE = {"input", "output", "weights", "run-id", "dry-run", "vcpu-price", "config", "version", "beam-args"}


def test_the_record_holds_every_option_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").touch()
    given = ["--input", "a.csv", "--output", "out", "--weights", "mine.safetensors", "--max-failure-rate", "0.1"]
    options = main.make_context("hdnet-harmonize", [*given, "--allow-scheme", "gs", "--allow-scheme", "s3"]).params
    recorded = Request(**options | {"run_id": "a"}).recorded()
    names = {option.opts[-1].removeprefix("--").replace("_", "-") for option in main.params} - ELSEWHERE
    assert names <= {name.replace("_", "-") for name in recorded}
    assert recorded["max_failure_rate"] == 0.1 and recorded["allow_scheme"] == "gs,s3"
    assert options["weights"] == str(tmp_path / "mine.safetensors")
