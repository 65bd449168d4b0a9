"""The main job with its catalog and results on an object store."""

import io
import uuid

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from hdnet.model.harmonizer import Harmonizer
from hdnet.pipeline.run import main
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps import harmonize as harmonizing
from hdnet.pipeline.steps.resume import Task
from hdnet.transforms import storage
from hdnet.transforms.catalog import manifest_parts
from hdnet.transforms.catalog.manifest import Pair
from tests import emulators, portable
from tests.catalogs import write_catalog, write_weights


def harmonize(root: str, weights: str) -> None:
    arguments = ["--input", f"{root}/pairs.csv", "--output", f"{root}/out", "--weights", weights]
    result = CliRunner().invoke(main, [*arguments, "--workers", "1", "--max-pixels", "50000", "--run-id", "one"])
    assert result.exit_code == 0, result.output


def ids(root: str, table: str) -> list[str]:
    folder = f"{root}/out/{table}/run_id=one"
    tables = [parquet.read_table(io.BytesIO(storage.read(f"{folder}/{name}"))) for name in storage.list_files(folder)]
    return sorted(row["id"] for each in tables for row in each.to_pylist())


@pytest.fixture
def catalog(tmp_path):
    write_catalog(tmp_path, good=5, broken=8)
    write_weights(tmp_path / "w.safetensors")
    return str(tmp_path)


def test_a_run_on_a_store_equals_one_on_a_disk(catalog, store, proxy, hasty):
    remote = f"{store[0]}://{emulators.BUCKET}/{uuid.uuid4().hex}"
    for name in storage.list_files(catalog):
        storage.write(f"{remote}/{name}", storage.read(f"{catalog}/{name}"))
    if store[0] == "gs":  # one will do: botocore waits long before it tries again
        proxy.plan = emulators.at_random()
    for root in (remote, catalog):
        harmonize(root, f"{catalog}/w.safetensors")
    for table, count in (("metrics", 5), ("failures", 8)):
        assert ids(remote, table) == ids(catalog, table) and len(ids(remote, table)) == count
    names = storage.list_files(f"{catalog}/out/images")
    assert storage.list_files(f"{remote}/out/images") == names
    for name in names:
        assert storage.read(f"{remote}/out/images/{name}") == storage.read(f"{catalog}/out/images/{name}")
    assert store[0] != "gs" or proxy.faults > 10


def test_the_next_pair_is_read_and_the_last_one_written_while_the_network_works(catalog, store, proxy, monkeypatch):
    remote = f"{store[0]}://{emulators.BUCKET}/{uuid.uuid4().hex}"
    for name in storage.list_files(catalog):
        storage.write(f"{remote}/{name}", storage.read(f"{catalog}/{name}"))
    found = manifest_parts.rows(f"{remote}/pairs.csv")
    pairs = [pair for pair in found if isinstance(pair, Pair) and pair.id.startswith("good/")][:3]
    network = Harmonizer.__call__
    calls: list[int] = []

    def waiting(*arguments):
        calls.append(len(calls))
        asked = [pair.composite.rpartition("/")[2] for pair in pairs[: len(calls) + 1]]
        portable.until(lambda: all(any(name in request for request in proxy.requests) for name in asked))
        if len(calls) == 2:
            portable.until(lambda: storage.is_folder(f"{remote}/out/images"))
        return network(*arguments)

    monkeypatch.setattr(Harmonizer, "__call__", waiting)
    settings = Settings(output=f"{remote}/out", run_id="one", weights=f"{catalog}/w.safetensors")
    work = harmonizing.HarmonizePair(settings)
    work.setup()
    rows = [row for pair in pairs for row in work.process(Task(pair))]
    assert [row["id"] for row in rows] == [pairs[0].id] and len(calls) == 2
    rows += [each.value for each in work.finish_bundle()]
    work.teardown()
    assert [row["id"] for row in rows] == [pair.id for pair in pairs] and len(calls) == 3
