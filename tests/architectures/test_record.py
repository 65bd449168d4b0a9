"""What the house asks of an architecture before, and without, building it."""

import json
import subprocess
import sys

import pytest
import safetensors.numpy
from click.testing import CliRunner

from hdnet.model import architectures
from hdnet.model.architectures.record import Size
from hdnet.model.weights import weights_header
from hdnet.pipeline.run import main
from tests.catalogs import write_catalog, write_weights

CHILD = """
import sys
from hdnet.model.training import train
from hdnet.pipeline import launch
from hdnet.model.weights import convert, weights_header
architecture, config = weights_header.architecture_of(weights_header.read_header("hdnet-lite"), "hdnet-lite")
assert architecture.peak_bytes(config, 1, 1, "float32") > 0
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    "size, sides",
    [(Size(), {1: 1, 7: 7}), (Size(multiple=8), {1: 8, 8: 8, 9: 16}), (Size(10, 4), {1: 12, 12: 12, 13: 16})],
)
def test_a_side_is_padded_to_the_next_that_the_network_takes(size, sides):
    assert {side: size.padded(side) for side in sides} == sides


def test_every_record_is_under_its_name():
    assert all(name == record.name for name, record in architectures.ARCHITECTURES.items())
    with pytest.raises(ValueError, match="unknown architecture 'rainnet'; known: hdnet, hdnet-lite"):
        architectures.find("rainnet")


def test_records_are_read_without_torch():
    subprocess.run([sys.executable, "-c", CHILD], check=True)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize(
    "changes, said",
    [
        ({"architecture": "rainnet"}, "unknown architecture 'rainnet'; known: hdnet, hdnet-lite"),
        ({"config": {"depth": 3}}, "unknown HDNetConfig fields: depth"),
        ({"config": {"width": "wide"}}, "width must be a whole number"),
        ({"config": None}, "config None"),
        ({"sha256": None}, "no sha256"),
    ],
    ids=str,
)
def test_a_header_that_names_no_network_ends_a_run_in_one_line(tmp_path, changes, said, dry):
    path = write_weights(tmp_path / "w.safetensors")
    header = {**weights_header.read_header(path), **changes}
    path.write_bytes(safetensors.numpy.save({}, {"hdnet": json.dumps(header)}))
    catalog = write_catalog(tmp_path / "in", good=1, broken=0)
    options = ["--input", catalog, "--output", tmp_path / "out", "--weights", path, *dry]
    result = CliRunner().invoke(main, list(map(str, options)))
    assert result.exit_code == 1 and result.output.startswith(f"Error: {path}: ") and said in result.output
    assert result.output.count("\n") == 1 and not (tmp_path / "out").exists()
