"""The public Python API: its names, its import, and its use beside modules of the user's own."""

import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

import hdnet
from tests.test_packaging import ROOT

ADDED = """
import sys
before = set(sys.modules)
import hdnet
print(*{name.partition(".")[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names)
"""
"""Prints the packages that `import hdnet` loads, without those of Python itself."""


def test_the_public_names_are_these():
    assert hdnet.__all__ == dir(hdnet) == [
        "HarmonizeError", "Harmonizer", "ShapeError", "WeightsError", "__version__",
        "load_network", "read_header", "read_mask", "shipped_weights",
    ]  # fmt: skip
    assert all(hasattr(hdnet, name) for name in hdnet.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'hdnet' has no attribute 'Harmoniser'"):
        hdnet.Harmoniser  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_loads_nothing_but_the_package():
    assert subprocess.check_output([sys.executable, "-c", ADDED], text=True).split() == ["hdnet"]


def test_the_readmes_snippet_runs_from_the_wheel_beside_modules_of_the_same_names(python, tmp_path):
    (snippet,) = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "script.py").write_text(snippet)
    for name in ("model", "pipeline", "transforms"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the module of the wheel')\n")
    catalog = ROOT / "examples" / "catalog"
    shutil.copy(catalog / "composites" / "cat.jpg", tmp_path / "composite.jpg")
    shutil.copy(catalog / "masks" / "cat.png", tmp_path / "mask.png")
    subprocess.run([python, "script.py"], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "harmonized.png") as result, Image.open(tmp_path / "composite.jpg") as composite:
        assert result.size == composite.size
