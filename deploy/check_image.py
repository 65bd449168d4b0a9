"""Run a Dockerfile's steps in a plain Debian root, where there is no Docker, and try what they make.

    sudo .venv/bin/python deploy/check_image.py --work /var/tmp/image

`debootstrap` makes the root that stands for the official Python image: the same Debian with Debian's own Python 3.11,
in /usr/local as there. Images of which files are copied (Beam's and the launcher's) cannot be had this way; those steps
are named and left out. Everything else is done as written, in chroot, and what came of it harmonizes an image as the
user without rights. Needs Linux, root, debootstrap and pip's way out; WORK is left for you to look at and remove.
"""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
CHROOT = "/usr/sbin/chroot"  # by its path: the environment, PATH too, is the image's
IMAGE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = "10001:10001"
UNSHARED = "HDNET_UNSHARED"
"""Environment variable of the process that has mounts of its own, which end with it."""

SMOKE = """
set -eu
python -c 'import apache_beam.runners.worker.sdk_worker_main, apache_beam.runners.dataflow.internal.apiclient'
python -m pip check
for tool in gcc cc ld make; do if command -v "$tool"; then echo "a build tool: $tool" >&2; exit 1; fi; done
python "$FLEX_TEMPLATE_PYTHON_PY_FILE" --runner=DataflowRunner 2>&1 | grep "Missing option '--input'"
cd "$(mktemp -d)"
hdnet-harmonize --input /examples/manifest.csv --output out --limit 1
test -s out/images/*.* && test "$OMP_NUM_THREADS" = 1
"""


@dataclasses.dataclass
class Stage:
    """A stage of a Dockerfile: what it starts from, and its instructions as (name, rest of the line)."""

    source: str
    steps: list[tuple[str, str]]


def parse(text: str) -> dict[str, Stage]:
    """Return the stages by name, in order.

    Raises:
        ValueError: A stage has no name.
    """
    stages: dict[str, Stage] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            source, _, stage = rest.partition(" AS ")
            if not stage:
                raise ValueError(f"a stage without a name: {line}")
            stages[stage] = Stage(source, [])
        else:
            next(reversed(stages.values())).steps.append((name, rest))
    return stages


@dataclasses.dataclass
class Builder:
    """Makes stages in folders of `work`, each once.

    Attributes:
        stages: Of the Dockerfile.
        work: Folder of the roots.
        arguments: Values for ARG.
        binds: Folders of this machine that are seen in the roots, too.
    """

    stages: Mapping[str, Stage]
    work: Path
    arguments: Mapping[str, str]
    binds: Sequence[str]
    environments: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    folders: dict[str, str] = dataclasses.field(default_factory=dict)

    def build(self, name: str) -> Path:
        """Return the root of a stage, made with all it takes from others."""
        root = self.work / name
        if name not in self.environments:
            source = self.stages[name].source
            base = self.build(source) if source in self.stages else self.work / "base"
            self.environments[name] = dict(self.environments.get(source, {"PATH": IMAGE_PATH}))
            self.folders[name] = self.folders.get(source, "/")
            subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
            self._run_steps(name, root)
        return root

    def _run_steps(self, name: str, root: Path) -> None:
        environment = self.environments[name]
        for step, rest in self.stages[name].steps:
            click.echo(f"{name}: {step} {rest}")
            if step == "ENV":
                environment.update(_assignments(rest, environment))
            elif step == "ARG":
                key, _, default = rest.partition("=")
                environment[key] = self.arguments.get(key, default)
            elif step == "WORKDIR":
                self.folders[name] = rest
                (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step == "COPY":
                self._copy(root, self.folders[name], rest)
            elif step == "RUN":
                self.run(root, environment, rest, self.folders[name])

    def _copy(self, root: Path, folder: str, rest: str) -> None:
        source, *paths = [""] * (not rest.startswith("--from=")) + rest.removeprefix("--from=").split()
        if source in self.stages and self.stages[source].steps == []:
            click.echo(f"  left out: {self.stages[source].source} cannot be had here")
            return
        start = self.build(source) if source else ROOT
        *sources, target = paths
        destination = root / os.path.join(folder, target).lstrip("/")
        (destination if target.endswith("/") else destination.parent).mkdir(parents=True, exist_ok=True)
        for path in sources:
            found = start / path.lstrip("/")
            if found.is_dir():  # of a folder, the content is copied
                destination.mkdir(exist_ok=True)
            content = f"{found}/." if found.is_dir() else str(found)
            subprocess.run(["cp", "-a", "--no-preserve=ownership", content, destination], check=True)

    def run(self, root: Path, environment: Mapping[str, str], command: str, folder: str = "/", user: str = "") -> None:
        """Run a shell command in a root, with mounts for as long as it takes."""
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        script = f"cd {shlex.quote(folder)} && {command}"
        with_user = [f"--userspec={user}"] if user else []
        mounted = list(self._mount(root))
        try:
            subprocess.run(
                [CHROOT, *with_user, root, "/bin/sh", "-c", script],
                env={"HOME": "/home/hdnet" if user else "/root", **pip, **environment},
                check=True,
            )
        finally:
            for path in reversed(mounted):
                subprocess.run(["umount", path], check=True)

    def _mount(self, root: Path) -> Iterator[Path]:
        shared = [(["--bind", "-o", "ro", path], path) for path in self.binds]
        for options, path in [(["-t", "proc", "proc"], "/proc"), (["-t", "tmpfs", "tmpfs"], "/dev/shm"), *shared]:
            target = root / path.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", *options, target], check=True)
            yield target


def _assignments(text: str, known: Mapping[str, str]) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(text))
    return {key: re.sub(r"\$\{?(\w+)\}?", lambda match: known.get(match[1], ""), value) for key, _, value in pairs}


def _make_base(base: Path, mirror: str) -> None:
    """Make the root that stands for the Python image, with its Python in /usr/local; one that is there stays."""
    if base.exists():
        return
    packages = "ca-certificates,python3,python3-venv"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", base, *mirror.split()], check=True
    )
    subprocess.run([CHROOT, base, "/usr/bin/python3", "-m", "venv", "/usr/local"], check=True)


def _print_sizes(root: Path) -> None:
    packages = root / "opt/venv/lib/python3.11/site-packages"
    measured: list[Path] = [root, root / "opt/venv", *packages.iterdir()]
    command = ["du", "--summarize", "--count-links", "--block-size=1M", *map(str, measured)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    whole, environment, *rest = (line.split("\t") for line in found.splitlines())
    click.echo(f"\n{whole[0]} MB in the root, {environment[0]} MB in the environment, of which:")
    for size, path in sorted(rest, key=lambda each: -int(each[0]))[:16]:
        click.echo(f"{size:>6} MB {Path(path).name}")


@click.command()
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder with 8 GB to spare.")
@click.option("--target", default="cpu", help="Stage to make.")
@click.option("--mirror", default="", help="Of Debian, for debootstrap.")
@click.option("--build-arg", multiple=True, metavar="NAME=VALUE", help="For the Dockerfile's ARG.")
@click.option("--bind", multiple=True, metavar="FOLDER", help="Of this machine, such as /etc/ssl/certs or wheels.")
def main(work: Path, target: str, mirror: str, build_arg: Sequence[str], bind: Sequence[str]) -> None:
    """Make a target of deploy/Dockerfile without Docker, try it, and print the size of its environment."""
    if UNSHARED not in os.environ:  # mounts that go with this process, whatever becomes of it
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], {**os.environ, UNSHARED: "1"})
    work.mkdir(parents=True, exist_ok=True)
    _make_base(work / "base", mirror)
    arguments = dict(each.split("=", 1) for each in build_arg)
    builder = Builder(parse(DOCKERFILE.read_text()), work.resolve(), arguments, bind)
    root = builder.build(target)
    subprocess.run(["cp", "-a", ROOT / "examples" / "catalog", root / "examples"], check=True)
    builder.run(root, builder.environments[target], SMOKE, user=USER)
    _print_sizes(root)


if __name__ == "__main__":
    main()
