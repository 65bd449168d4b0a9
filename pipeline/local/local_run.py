"""A run on this machine: worker processes, their environment, the progress line, and what ends a run early."""

import contextlib
import dataclasses
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from hdnet.model.progress import ProgressLine
from hdnet.pipeline import graph
from hdnet.pipeline.local import progress, supervise
from hdnet.pipeline.local.machine import Plan
from hdnet.pipeline.local.progress import Counts
from hdnet.pipeline.settings import Machine
from hdnet.pipeline.steps.earlier_runs import list_tables
from hdnet.pipeline.steps.resume import COUNTERS, Backlog, trusted
from hdnet.transforms import errors, text
from hdnet.transforms.errors import HarmonizeError, WorkerDied

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that Beam has to notice that a worker died; it would wait for ever for one that never answered."""

_EXPECTED = re.compile(
    r"^hdnet\.transforms\.errors\.(\w+): (.*?)(?: \[while running '[^']*'\])?\s*\Z", re.DOTALL | re.MULTILINE
)


def run(job: graph.Job, plan: Plan, beam_args: Sequence[str]) -> None:
    """Run a job on worker processes of this machine, to its end.

    Raises:
        WorkerDied: A worker process died; what was done until then is kept.
        HarmonizeError: The manifest, the weights, a record or the output cannot be used any more.
    """
    with contextlib.ExitStack() as stack:
        scratch = supervise.scratch() or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hdnet-")))
        started = supervise.remember_run(scratch, job.settings.run_id, job.run.started.isoformat())
        settings = dataclasses.replace(job.settings, machine=Machine(plan=plan, scratch=str(scratch)))
        stack.enter_context(_early_end())
        stack.enter_context(_environment(scratch, plan.threads))
        counts = ((job.pairs, "pair"), (plan.workers, "worker"), (plan.threads, "thread"))
        log.info("%s on %s of %s", *(text.plural(count, noun) for count, noun in counts))
        stack.enter_context(Watch(scratch, job.pairs))
        with beam.Pipeline(_runner(plan.workers), _options(beam_args, plan.workers)) as root:
            info = dataclasses.replace(job.run, started=datetime.fromisoformat(started))
            graph.build(root, dataclasses.replace(job, settings=settings, run=info))


def count(job: graph.Job) -> Backlog:
    """Count what there is to do: run all that comes before any pixel, in this process, and write nothing.

    Raises:
        HarmonizeError: The manifest or a record cannot be used.
    """
    if not list_tables(trusted(job.settings.layout, job.resume)):  # no images need be listed
        return Backlog(job.pairs, 0, job.pairs)
    log.info("comparing %s with what earlier runs did", text.plural(job.pairs, "pair"))
    with _early_end():
        root = beam.Pipeline(_runner(1), _options((), 1))
        graph.sort_out(root, job)
        found = root.run().metrics().query(MetricsFilter().with_namespace(COUNTERS))["counters"]
    counts = {each.key.metric.name: each.committed for each in found}
    return Backlog(job.pairs, counts.get("up_to_date", 0), counts.get("to_do", 0))


def _runner(workers: int) -> FnApiRunner:
    """Make Beam's runner for one machine; its DirectRunner would first try to download a binary."""
    if workers == 1:
        return FnApiRunner()
    command = f"{shlex.quote(sys.executable)} -m hdnet.pipeline.local.worker"
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def _options(beam_args: Sequence[str], workers: int) -> PipelineOptions:
    return PipelineOptions(list(beam_args), direct_num_workers=workers, save_main_session=False)


@contextlib.contextmanager
def _early_end() -> Iterator[None]:
    """Raise what ended the run as an error of ours: Beam knows only that a worker is gone, or its traceback."""
    deaths: list[str] = []
    timers: list[threading.Timer] = []
    before = threading.excepthook

    def notice(failure: threading.ExceptHookArgs) -> None:
        if "Worker subprocess exited" in str(failure.exc_value):
            deaths.append(str(failure.exc_value))
            if supervise.scratch():
                timers.append(threading.Timer(GRACE, os._exit, [supervise.DIED]))
                timers[-1].daemon = True
                timers[-1].start()
        else:
            before(failure)

    threading.excepthook = notice
    try:
        yield
    except Exception as error:
        if "KeyboardInterrupt" in str(error):  # Beam takes it for an error of the step under way
            raise KeyboardInterrupt from None
        if (expected := _expected(error)) is not None:
            raise expected from error
        if deaths:
            raise WorkerDied(f"{deaths[0]}: perhaps it was killed for lack of memory; try fewer --workers") from error
        raise
    finally:
        threading.excepthook = before
        for timer in timers:  # Beam has noticed, or the worker died after all was done
            timer.cancel()


def _expected(error: Exception) -> HarmonizeError | None:
    """Return the expected error that ended the run, without Beam's words; None if it was another one, a bug.

    An error of a worker process is known only as a traceback in the text of Beam's error.
    """
    last = "".join(traceback.format_exception_only(error)).rpartition("Traceback (most recent call last):\n")[2]
    found = _EXPECTED.search(last)
    return getattr(errors, found[1])(found[2]) if found else None


@contextlib.contextmanager
def _environment(scratch: Path, threads: int) -> Iterator[None]:
    """Set what worker processes read from the environment as they start, for as long as the block lasts."""
    told = scratch / "options.json"
    told.write_text(json.dumps({"default_sdk_harness_log_level": "WARNING"}))
    # OpenMP starts before our code runs: only the environment reaches it in time.
    wanted: Mapping[str, str] = {"OMP_NUM_THREADS": str(threads), "PIPELINE_OPTIONS_FILE": str(told)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Watch(threading.Thread):
    """Shows a local run's progress line for as long as the block lasts."""

    def __init__(self, scratch: Path, total: int) -> None:
        super().__init__(daemon=True)
        self.scratch, self.line, self.stop = scratch, ProgressLine(total), threading.Event()
        self.began, self.seen, self.before = time.monotonic(), 0, progress.read(scratch).pixels

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()
        self.line.close()

    def run(self) -> None:
        """Look every half second."""
        while not self.stop.wait(0.5):
            self.show()
        self.show()

    def show(self) -> None:
        """Read the workers' counts and show them."""
        found = progress.read(self.scratch)
        # What an attempt skips, the next one skips again.
        seen = min(found.images + found.failures + found.skipped, self.line.total)
        if seen > self.seen:
            self.seen = seen
            self.line.pass_over(min(found.skipped, seen))
            rate = (found.pixels - self.before) / 1e6 / (time.monotonic() - self.began)
            self.line.update(seen, lambda: _detail(rate, found))


def _detail(rate: float, found: Counts) -> str:
    """Say how it goes; zeros are left out, because a narrow terminal cuts off the end."""
    counts = ((found.failures, "failed"), (found.skipped, "up to date"))
    return ", ".join([*(f"{count:,} {what}" for count, what in counts if count), f"{rate:.2f} MP/s"])
