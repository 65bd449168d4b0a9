"""Any other of Beam's runners, such as Flink's, Spark's and Prism's: it must be available here without a download."""

import os
import shutil

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from apache_beam.runners import runner
from apache_beam.runners.portability.portable_runner import PortableRunner

from hdnet.pipeline.request import Request
from hdnet.pipeline.runners import beam_options
from hdnet.pipeline.runners.cluster import ClusterRunner
from hdnet.transforms.errors import BeamOptionsError

SERVERS = {
    "flink": "flink_job_server_jar",
    "kafkastreams": "kafka_streams_job_server_jar",
    "prism": "prism_location",
    "spark": "spark_job_server_jar",
}
"""The option with the file of the job server that a runner starts, by the runner's short name."""


class OtherRunner(ClusterRunner):
    """Runs jobs by a runner of Beam's that is neither local nor Dataflow's."""

    def __init__(self, request: Request, options: PipelineOptions) -> None:
        super().__init__(request, options)
        self.name, self.short_name = options.view_as(StandardOptions).runner, beam_options.runner_name(options)
        self.given = options.get_all_options()

    def check(self) -> None:
        super().check()
        self._refuse_local_sizes(f"give {self.name} what it has for the size of its workers")
        instead = "copy it to a bucket"
        if self._is_portable():
            self._check_server()
            if self._works_in_this_process():
                return
            self._check_image()
            instead += ", or give --environment_type=LOOPBACK to have this process do the work"
        self._refuse_local_places(f"where workers of {self.name} may not see it: {instead}")

    def complete(self) -> None:
        portable = self.options.view_as(PortableOptions)
        if portable.sdk_worker_parallelism == 1:  # Beam's default, a number; what the user gives is text
            portable.sdk_worker_parallelism = 0  # about one process for each core, as on Dataflow
        super().complete()

    def _is_portable(self) -> bool:
        """Say whether the runner gives the job to a job service, as most do.

        Raises:
            BeamOptionsError: There is no such runner, or it needs a package that is not installed.
        """
        try:
            return isinstance(runner.create_runner(self.name), PortableRunner)
        except Exception as error:  # a runner of the user's own may raise any
            raise BeamOptionsError(f"--runner={self.name} is not available: {error}") from error

    def _check_server(self) -> None:
        """Refuse a runner whose job server neither runs nor lies here, for Beam would download one.

        Raises:
            BeamOptionsError: Names the option that is missing, or Java where that is.
        """
        if self.given["job_endpoint"]:
            return
        option = SERVERS.get(self.short_name)
        file = self.given[option] if option else None
        if not file:
            or_file = f", or --{option}=PATH" if option else ""
            raise BeamOptionsError(
                f"--runner={self.name} needs a job server, and none is downloaded:"
                f" give --job_endpoint=HOST:PORT of one that runs{or_file}"
            )
        if not os.path.exists(file):
            raise BeamOptionsError(f"--{option} {file}: there is no such file on this machine")
        uploaded = self.given.get(f"{self.short_name}_submit_uber_jar")
        if self.short_name != "prism" and not uploaded:
            self._check_program(self.given["job_server_java_launcher"], "its job server")

    def _check_image(self) -> None:
        """Refuse Beam's own container image, which has none of this code, and containers where Docker is not here.

        Raises:
            BeamOptionsError: Names what is missing.
        """
        if self.given["environment_type"] not in (None, "DOCKER"):
            return
        image = self.options.view_as(PortableOptions).lookup_environment_option("docker_container_image")
        if not (self.given["environment_config"] or image):
            raise BeamOptionsError(
                f"--runner={self.name} needs, after the --, also --environment_config (the image with this package that"
                " the workers run: without it they have none of this code)"
            )
        endpoint = self.given["job_endpoint"]
        if endpoint == "embed" or (not endpoint and self._has_local_master()):
            self._check_program("docker", "its workers")

    def _check_program(self, program: str, purpose: str) -> None:
        if shutil.which(program) is None:
            raise BeamOptionsError(f"--runner={self.name} starts {purpose} with {program}, which is not installed here")

    def _works_in_this_process(self) -> bool:
        """Say whether the workers are threads of this process, which is Beam's choice where the master is local."""
        kind = self.given["environment_type"]
        return kind == "LOOPBACK" or (kind is None and self._has_local_master())

    def _has_local_master(self) -> bool:
        masters = {
            "flink": self.given["flink_master"] in ("[auto]", "[local]"),
            "prism": True,
            "spark": self.given["spark_master_url"].startswith("local"),
        }
        return bool(masters.get(self.short_name))
