"""A run with its rows and its summary, in made-up numbers."""

from datetime import UTC, datetime

from hdnet.pipeline.report import closing, run_info
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms.catalog.rows import METRICS_SCHEMA, Record

INFO = RunInfo(
    run_id="r1", started=datetime(2026, 11, 20, 7, 30, tzinfo=UTC),
    finished=datetime(2026, 11, 20, 7, 30, 10, tzinfo=UTC), output="/out",
    manifest="pairs.csv", rows=5, weights="hdnet-lite", weights_sha256="ab", arch="hdnet-lite", precision="float32",
    options={"limit": None, "quality": 95}, versions={"torch": "2.13.0"},
)  # fmt: skip


def row(identity: str = "a", **values: object) -> Record:
    row: Record = {name: None for name in METRICS_SCHEMA.names}
    files = {name: f"{name}.png" for name in ("composite", "mask", "output")}
    numbers = {"width": 1000, "height": 500, "foreground_ratio": 0.25, "delta_e": 5.0, "gap_before": 30.0,
               "gap_after": 10.0, "clipped_ratio": 0.01, "newly_clipped_ratio": 0.005}  # fmt: skip
    seconds = {"seconds_read": 0.1, "seconds_network": 1.0, "seconds_write": 0.2, "seconds_score": 0.1}
    return {**row, **files, **numbers, **seconds, "id": identity, "options": "{}", **values}


def compared(identity: str, before: float, after: float, **values: object) -> Record:
    scores = {name: 1.0 for name in ("mse", "fmse", "input_mse", "input_fmse")}
    flags = "worse" if after < before else ""
    return row(
        identity, reference="reference.png", input_psnr=before, psnr=after, **{**scores, "flags": flags} | values
    )


def failed(
    identity: str | None = "b", error: str = "DecodeError", message: str = "broken", known_since: str | None = None
) -> Record:
    return {
        "id": identity,
        "stage": "read",
        "error": error,
        "message": message,
        "source": "pairs.csv, line 3",
        "known_since": known_since,
    }


def summary(*rows: Record) -> Summary:
    total = Summary()
    for each in rows:
        total.add(each)
    return total


def table(total: Summary) -> str:
    return closing.table(run_info.to_json(INFO, total))
