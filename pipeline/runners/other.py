"""Any other of Beam's runners, such as Flink's, Spark's and Prism's: it must be available here without a download."""

import os
import shutil
from typing import Any

from apache_beam.options.pipeline_options import PortableOptions, StandardOptions
from apache_beam.runners import runner
from apache_beam.runners.portability.portable_runner import PortableRunner

from hdnet.pipeline.runners import beam_options
from hdnet.pipeline.runners.cluster import ClusterRunner
from hdnet.transforms.errors import BeamOptionsError

SERVERS = {
    "flink": "flink_job_server_jar",
    "kafkastreams": "kafka_streams_job_server_jar",
    "prism": "prism_location",
    "spark": "spark_job_server_jar",
}
"""Options with the file of the job server that a runner starts, by the runner's short name."""


class OtherRunner(ClusterRunner):
    """Runs jobs by a runner of Beam's that is neither local nor Dataflow's."""

    def check(self) -> None:
        super().check()
        self.name = self.options.view_as(StandardOptions).runner
        self.given = self.options.get_all_options()
        self._refuse_local_sizes(f"give {self.name} what it has for the size of its workers")
        portable = isinstance(self._create(), PortableRunner)
        if portable:
            self._check_server()
            self._check_image()
        if not (portable and self._works_in_this_process()):
            or_here = ", or give --environment_type=LOOPBACK to have this process do the work" if portable else ""
            self._refuse_local_places(f"where workers of {self.name} may not see it: copy it to a bucket{or_here}")

    def complete(self) -> None:
        portable = self.options.view_as(PortableOptions)
        if portable.sdk_worker_parallelism == 1:  # Beam's default, a number; what the user gives is text
            portable.sdk_worker_parallelism = 0  # about one process for each core: as on Dataflow, a bundle has its own
        super().complete()

    def _create(self) -> Any:
        """Make Beam's runner, whose module is imported by that.

        Raises:
            BeamOptionsError: There is no such runner, or it needs a package that is not installed.
        """
        try:
            return runner.create_runner(self.name)
        except Exception as error:  # a runner of the user's own may raise any
            raise BeamOptionsError(f"--runner={self.name} is not available: {error}") from error

    def _check_server(self) -> None:
        """Refuse a runner whose job server is neither running nor here: Beam would download one.

        Raises:
            BeamOptionsError: Names the option that is missing, or Java where that is.
        """
        if self.given["job_endpoint"]:
            return
        option = SERVERS.get(self._short_name(), "")
        known = f", or --{option}=PATH" if option else ""
        file = self.given[option] if option else None
        if not file:
            raise BeamOptionsError(
                f"--runner={self.name} needs a job server, and none is downloaded:"
                f" give --job_endpoint=HOST:PORT of one that runs{known}"
            )
        if not os.path.exists(file):
            raise BeamOptionsError(f"--{option} {file}: there is no such file on this machine")
        java, uber = self.given["job_server_java_launcher"], f"{self._short_name()}_submit_uber_jar"
        if option.endswith("_jar") and not self.given.get(uber) and shutil.which(java) is None:
            raise BeamOptionsError(f"--runner={self.name} starts its job server with Java: there is no {java} here")

    def _check_image(self) -> None:
        """Refuse Beam's own container image, which has none of this code, and containers where Docker is not here.

        Raises:
            BeamOptionsError: Names what is missing.
        """
        kind = self.given["environment_type"]
        if self._works_in_this_process() or kind not in (None, "DOCKER"):
            return
        portable = self.options.view_as(PortableOptions)
        if not (self.given["environment_config"] or portable.lookup_environment_option("docker_container_image")):
            raise BeamOptionsError(
                f"--runner={self.name} needs, after the --, also --environment_config (the image with this package that"
                " the workers run: without it they have none of this code)"
            )
        endpoint = self.given["job_endpoint"]
        here = endpoint == "embed" or (not endpoint and self._has_local_master())
        if here and shutil.which("docker") is None:
            raise BeamOptionsError(f"--runner={self.name} starts workers with Docker: there is no docker here")

    def _works_in_this_process(self) -> bool:
        """Say whether the workers are threads of this process: Beam's choice for a local master, unless told."""
        kind = self.given["environment_type"]
        return kind == "LOOPBACK" or (kind is None and self._has_local_master())

    def _has_local_master(self) -> bool:
        masters = {
            "flink": self.given["flink_master"] in ("[auto]", "[local]"),
            "prism": True,
            "spark": self.given["spark_master_url"].startswith("local"),
        }
        return bool(masters.get(self._short_name()))

    def _short_name(self) -> str:
        return beam_options.runner_name(self.options)
