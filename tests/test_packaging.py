"""The lock holds what pyproject.toml asks for, and imports point one way."""

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FORBIDDEN = {
    "hdnet.transforms": {"hdnet.model", "hdnet.pipeline", "apache_beam"},
    "hdnet.model": {"hdnet.pipeline", "apache_beam"},
    "hdnet.pipeline": set[str](),
}
"""Packages, and what none of their modules may import."""
MOST_MODULES = 15
"""Modules in a folder: more than that nobody takes in at a glance."""


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_every_direct_requirement_is_locked_once(python, platform):
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform}
    locked = [pin for pin in lock() if pin.marker is None or pin.marker.evaluate(machine)]
    for wanted in direct():
        pins = [pin for pin in locked if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        assert len(pins) == 1, f"{wanted}: locked as {pins}; run `make lock`"
        assert wanted.specifier.contains(version(pins[0])), f"{wanted}: locked as {pins[0]}; run `make lock`"


def test_the_lock_is_versions_and_nothing_else():
    assert all(version(pin) for pin in lock())
    names = {pin.name for pin in lock()}
    assert not [name for name in names if name.startswith(("cuda-", "nvidia-", "triton"))], "torch brings these itself"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package):
    for path in sorted((ROOT / package.partition(".")[2]).rglob("*.py")):
        wrong = [
            name for name in imports(path) if f"{name}.".startswith(tuple(f"{each}." for each in FORBIDDEN[package]))
        ]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_no_folder_holds_more_modules_than_a_reader_takes_in():
    folders = {
        path.parent for top in ("model", "pipeline", "transforms", "deploy") for path in (ROOT / top).rglob("*.py")
    }
    crowded = {str(folder.relative_to(ROOT)): len(list(folder.glob("[!_]*.py"))) for folder in folders}
    assert {name: count for name, count in crowded.items() if count > MOST_MODULES} == {}


def test_imports_inside_functions_are_seen(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import os.path\ndef f():\n    from hdnet.model import harmonizer\n    import hdnet.pipeline.run\n")
    assert set(imports(path)) == {"os.path", "hdnet.model", "hdnet.model.harmonizer", "hdnet.pipeline.run"}


def test_the_main_commands_use_every_requirement():
    modules = {"apache-beam": "apache_beam", "pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}
    by_name = {"gcsfs"}  # fsspec loads it for gs://
    wanted = {modules.get(name, name) for name in (Requirement(r).name for r in PROJECT["project"]["dependencies"])}
    assert wanted - by_name <= reached("hdnet.pipeline.run") | reached("hdnet.model.evaluation.evaluate")


@pytest.mark.parametrize("target", PROJECT["project"]["scripts"].values())
def test_console_scripts_are_commands_with_help(target):
    name, _, function = target.partition(":")
    module = importlib.import_module(name)
    assert callable(getattr(module, function))
    assert isinstance(module.main, click.Command) and module.main.short_help


def direct() -> list[Requirement]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), PROJECT["dependency-groups"]["dev"]]
    return [Requirement(line) for group in groups for line in group]


def lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==" and pin.url is None, f"{pin}: not a plain pinned version"
    return specifier.version


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from [node.module or "", *(name for name in names if source(name).is_file())]


def reached(name: str) -> set[str]:
    """Return all that a module of ours imports, itself and through ours: ours by module, others by package."""
    found: set[str] = set()
    todo = {name}
    while todo:
        each = todo.pop()
        found.add(each)
        for other in imports(source(each)) if source(each).is_file() else ():
            ours = other.partition(".")[0] == "hdnet"
            todo |= {other if ours else other.partition(".")[0]} - found
    return found


def source(module: str) -> Path:
    """Return the file of a module or package, if it is ours."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
