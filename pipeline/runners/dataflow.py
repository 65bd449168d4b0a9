"""Google's Dataflow: what a job of ours needs there, and what its machines must hold."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, WorkerOptions

from hdnet.pipeline.cost import Estimate
from hdnet.pipeline.runners import advice
from hdnet.pipeline.runners.cluster import ClusterRunner
from hdnet.transforms.errors import BeamOptionsError

REQUIRED = {
    "project": "the project that pays",
    "region": "where the workers are, such as europe-west1",
    "temp_location": "a gs:// folder for the job's own files",
    "sdk_container_image": "the image with this package that the workers run: without it they have none of this code",
}
"""Options without which no job of ours runs on Dataflow, and what each is."""


class DataflowRunner(ClusterRunner):
    """Runs jobs on Dataflow."""

    GPUS = True

    def check(self) -> None:
        super().check()
        self._refuse_local_sizes("give Dataflow --max_num_workers and --machine_type")
        # Without the second, Beam would ask for nobody's credentials and be refused much later.
        if not all(map(_is_installed, ("google.cloud.dataflow", "google_auth_httplib2"))):
            raise BeamOptionsError("Dataflow needs more packages: pip install 'hdnet-pipeline[dataflow]'")
        given = self.options.get_all_options()
        missing = [f"--{name} ({what})" for name, what in REQUIRED.items() if not given[name]]
        if missing:
            raise BeamOptionsError(f"--runner=DataflowRunner needs, after the --, also {'; '.join(missing)}")
        for name in ("temp_location", "staging_location"):  # Beam would take a bucket of its own instead
            if given[name] and not re.match("gs://[^/]+/", given[name]):
                raise BeamOptionsError(f"--{name} {given[name]}: gs://BUCKET/FOLDER is wanted")
        self._refuse_local_places("where no worker of Dataflow sees it: copy it to a bucket")
        if self.request.accelerator and self._excludes_hints():
            raise BeamOptionsError("--accelerator cannot stand beside --flexrs_goal or worker_accelerator: choose one")

    def complete(self) -> None:
        cloud = self.options.view_as(GoogleCloudOptions)
        if not cloud.job_name:
            # Dataflow takes lower case letters, digits and dashes, at most 63 with a letter first.
            name = "".join(letter if letter.isalnum() else "-" for letter in self.request.run_id.lower())
            cloud.job_name = f"hdnet-{name[:50].strip('-')}".rstrip("-")
        super().complete()

    def hints(self, found: Estimate) -> Mapping[str, str]:
        """Return the memory of a machine and its GPU; nothing where the options choose machines themselves."""
        if self._excludes_hints():
            return {}
        kind: str | None = self.options.view_as(WorkerOptions).machine_type
        ram = advice.min_ram(kind, found.typical_bytes, found.largest_bytes)
        return {"min_ram": ram, **({"accelerator": self.request.accelerator} if self.request.accelerator else {})}

    def is_awaited(self) -> bool:
        return super().is_awaited() and not self._template()

    def whereabouts(self, result: Any) -> str:
        if self._template():
            return f"the template is {self._template()}; nothing runs yet"
        cloud, job = self.options.view_as(GoogleCloudOptions), result.job_id()
        place = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}"
        return f"job {job} runs, and goes on if this command is stopped: {place}"

    def _template(self) -> str | None:
        location: str | None = self.options.view_as(GoogleCloudOptions).template_location
        return location

    def _excludes_hints(self) -> bool:
        """Say whether the options choose machines in a way that Dataflow allows no resource hint beside."""
        cloud = self.options.view_as(GoogleCloudOptions)
        services = cloud.dataflow_service_options or []
        return bool(cloud.flexrs_goal) or any(each.startswith("worker_accelerator") for each in services)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it is in
        return False
