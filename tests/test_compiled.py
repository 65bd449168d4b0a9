"""Finding and loading the compiled library."""

import shutil
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from PIL import _imagingmath

from hdnet.model.architectures.hdnet.kernels import CompiledPasses
from hdnet.model.architectures.hdnet.kernels import installed as passes
from hdnet.model.harmonizer import Harmonizer
from hdnet.transforms import compiled
from hdnet.transforms.errors import VersionError
from hdnet.transforms.scores.kernels import CompiledSums
from hdnet.transforms.scores.kernels import installed as sums

REMEDY = "pip install --force-reinstall ./kernels"


@pytest.fixture(autouse=True)
def anew():
    """Look for the library again, before and after."""
    for found in (compiled.installed, passes):
        found.cache_clear()
    yield
    for found in (compiled.installed, passes):
        found.cache_clear()


def test_it_is_found_where_it_is_installed(kernels_library, monkeypatch):
    monkeypatch.syspath_prepend(kernels_library.parent)
    assert compiled.find() == kernels_library
    engine, scores = passes(), sums()
    assert isinstance(engine, CompiledPasses) and isinstance(scores, CompiledSums)
    assert engine.compiled is scores.compiled


def test_other_files_of_its_name_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hdnet_kernels.py").touch()
    assert compiled.find() is None and sums() is None


def test_a_library_of_another_version_is_refused(kernels_library, monkeypatch):
    monkeypatch.setattr(compiled, "INTERFACE", 0)
    with pytest.raises(VersionError, match=f"{kernels_library} .* interface 0, .*interface 3.*; .*{REMEDY}"):
        compiled.load(kernels_library)


def test_a_library_without_a_function_is_refused(kernels_library, monkeypatch):
    monkeypatch.setitem(compiled.FUNCTIONS, "hdnet_forgotten", [])
    with pytest.raises(VersionError, match=f"hdnet_forgotten.*{REMEDY}"):
        compiled.load(kernels_library)


@pytest.mark.parametrize("content", [Path(__file__), Path(_imagingmath.__file__)], ids=["no library", "foreign"])
def test_another_library_is_refused_as_the_weights_load(content, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / f"hdnet_kernels{EXTENSION_SUFFIXES[-1]}"
    shutil.copy(content, file)
    with pytest.raises(VersionError, match=f"{file} .*{REMEDY}"):
        Harmonizer.load("hdnet-lite")


def test_version_and_interface_rise_together():
    project = tomllib.loads((Path(__file__).parents[1] / "kernels" / "pyproject.toml").read_text())["project"]
    assert project["version"].split(".")[1] == str(compiled.INTERFACE)
