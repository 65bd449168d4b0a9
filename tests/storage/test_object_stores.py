"""Storage against real servers on loopback, healthy and failing."""

import concurrent.futures
import multiprocessing
import uuid

import fsspec
import numpy as np
import pytest

from hdnet.transforms import storage
from hdnet.transforms.errors import OutputError, SizeError, StorageError
from hdnet.transforms.storage import clients
from tests import emulators


@pytest.fixture
def folder(store, proxy) -> str:
    """A folder of an emulated store that belongs to one test."""
    return f"{store[0]}://{emulators.BUCKET}/{uuid.uuid4().hex}"


NAMES = ("a.png", "x/b c.png", "x/y/ü#%?&+.png", "empty")


def test_files_are_written_listed_read_and_removed(folder):
    for name in NAMES:
        storage.write(f"{folder}/{name}", name.encode() if name != "empty" else b"")
    assert storage.list_files(folder) == sorted(NAMES)
    assert storage.is_folder(f"{folder}/x") and not storage.is_folder(f"{folder}/none")
    for name in NAMES[:3]:
        assert storage.read(f"{folder}/{name}") == name.encode()
    assert storage.read(f"{folder}/empty") == b""
    with storage.open_binary(f"{folder}/a.png") as file:
        assert (file.read(1), file.read()) == (b"a", b".png")
    storage.remove(f"{folder}/x")
    storage.remove(f"{folder}/none")
    assert storage.list_files(folder) == ["a.png", "empty"]


def test_many_files_are_removed_by_few_requests(folder, proxy):
    names = [f"{folder}/{number}" for number in range(20)]
    for name in names[1:]:
        storage.write(name, b"")
    before = len(proxy.requests)
    storage.remove_files(names[:-1])
    # gcsfs puts a hundred into one request, but only for Google's own servers.
    assert len(proxy.requests) - before == (1 if folder.startswith("s3") else 19)
    assert storage.list_files(folder) == ["19"]
    storage.remove_files(names[:-1])  # none of them exists any more


def test_a_file_costs_one_request_each_way(folder, proxy):
    storage.write(f"{folder}/a", b"x" * 1_000_000)
    assert len(proxy.requests) == 1
    storage.read(f"{folder}/a")
    assert len(proxy.requests) == 2


def test_no_more_than_the_limit_is_fetched(folder):
    for content in (b"", b"1", b"12", b"123"):
        storage.write(f"{folder}/a", content)
        assert storage.read(f"{folder}/a", 3) == content
    with pytest.raises(SizeError, match=f"^{folder}/a has more than 2 bytes"):
        storage.read(f"{folder}/a", 2)


def test_many_small_reads_of_an_open_file_are_one_request(folder, proxy):
    storage.write(f"{folder}/a", b"x" * 10_000)
    with storage.open_binary(f"{folder}/a") as file:
        opened = len(proxy.requests)
        for place in range(0, 10_000, 100):
            file.seek(place)
            file.read(50)
    assert len(proxy.requests) == opened + 1


def test_versions_take_one_listing_a_folder_and_change_with_the_content(folder, proxy):
    for name in ("a/1", "a/x/2", "b/1", "c/1"):
        storage.write(f"{folder}/{name}", name.encode())
    proxy.requests.clear()
    before = storage.listing([f"{folder}/a", f"{folder}/a/x", f"{folder}/b/"])
    assert sorted(before) == [f"{folder}/{name}" for name in ("a/1", "a/x/2", "b/1")]
    assert len(proxy.requests) == 3
    assert storage.listing([f"{folder}/none"]) == {}
    storage.write(f"{folder}/a/1", b"A/1")
    after = storage.listing([f"{folder}/a"])
    assert {uri for uri in after if after[uri] != before[uri]} == {f"{folder}/a/1"}


def test_a_file_below_an_empty_name_is_asked_for_by_itself(folder):
    uri = f"{folder}/a//b.jpg"
    assert not storage.is_listed(uri) and storage.is_listed(f"{folder}/a/b.jpg")
    storage.write(uri, b"1")
    assert storage.read(uri) == b"1"
    before = storage.ask([uri])
    assert before[uri].size == 1 and storage.ask([uri]) == before
    storage.write(uri, b"333")
    assert storage.ask([uri]) != before


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_leaves_its_parent_s_client_alone(folder, proxy):
    storage.write(f"{folder}/a", b"parent")
    child = multiprocessing.get_context("fork").Process(
        target=storage.write, args=(f"{folder}/b", b"child"), daemon=True
    )
    child.start()
    child.join(300)
    assert child.exitcode == 0
    proxy.requests.clear()
    assert storage.read(f"{folder}/b") == b"child"
    assert len(proxy.requests) == 1  # it would repeat a request whose answer it had not received


def test_three_hundred_files_through_a_failing_store(folder, proxy, hasty):
    proxy.plan = emulators.at_random()
    contents = {f"{folder}/{i}": np.random.default_rng(i).bytes(1 + 150 * i) for i in range(300)}
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(storage.write, contents, contents.values()))
        found = dict(zip(contents, threads.map(storage.read, contents), strict=True))
    assert found == contents
    assert set(storage.listing([folder])) == set(contents)
    assert proxy.faults > 0.2 * len(proxy.requests)


@pytest.mark.parametrize("fault", [429, 502, 503, "cut", "break", "stall"])
def test_a_passing_fault_is_retried(folder, proxy, hasty, fault):
    storage.write(f"{folder}/a", b"old")
    for call in (lambda: storage.write(f"{folder}/a", b"new"), lambda: storage.read(f"{folder}/a")):
        proxy.requests.clear()
        proxy.plan = lambda number: fault if number == 0 else None
        call()
        assert len(proxy.requests) >= 2
    assert storage.read(f"{folder}/a") == b"new"


def test_a_lasting_fault_is_not_retried(folder, proxy):
    proxy.plan = lambda number: 403
    with pytest.raises(StorageError, match=f"^{folder}/a cannot be read: access is denied: grant") as caught:
        storage.read(f"{folder}/a")
    assert not isinstance(caught.value, OutputError) and len(proxy.requests) == 1
    with pytest.raises(OutputError, match=f"^{folder}/a cannot be written: access is denied: grant"):
        storage.write(f"{folder}/a", b"x")
    assert len(proxy.requests) == 2


def test_an_unknown_user_is_asked_to_sign_in(folder, proxy):
    proxy.plan = lambda number: 401
    with pytest.raises(OutputError, match=f"^{folder}/a cannot be written: .*sign in again$"):
        storage.write(f"{folder}/a", b"x")
    with pytest.raises(StorageError, match="sign in again"), storage.open_binary(f"{folder}/a"):
        pass


def test_missing_credentials_are_named(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    message = "^s3://nowhere/a cannot be (read|written): no credentials were found: sign in$"
    with pytest.raises(StorageError, match=message), storage.open_binary("s3://nowhere/a"):
        pass
    with pytest.raises(OutputError, match=message):
        storage.write("s3://nowhere/a", b"x")


def test_a_missing_file_is_asked_for_once(folder, proxy):
    with pytest.raises(StorageError, match=f"^{folder}/a cannot be read: there is no such file"):
        storage.read(f"{folder}/a")
    assert len(proxy.requests) == 1
    nowhere = folder.replace(emulators.BUCKET, "nowhere")
    with pytest.raises(OutputError, match=f"^{nowhere}/a cannot be written: there is no such file, or no such bucket"):
        storage.write(f"{nowhere}/a", b"x")


def test_a_store_that_never_answers_ends_in_an_error_and_in_time_the_run(folder, proxy, monkeypatch):
    def fail_to_read():
        failed = pytest.raises(StorageError, match="repeatedly failed to answer properly.*run again later")
        with monkeypatch.context() as patch, failed as caught:
            patch.setattr(clients, "PATIENCE", 1.0)
            storage.read(f"{folder}/a")
        return type(caught.value)

    monkeypatch.setattr(clients, "MOST_UNANSWERED", 2)
    for name in (f"{folder}/b", "memory://other/b"):
        storage.write(name, b"x")
    proxy.plan = lambda number: "stall"
    kinds = []
    for _ in range(2):
        assert storage.read("memory://other/b") == b"x"  # which says nothing about the other store
        kinds.append(fail_to_read())
    with pytest.raises(StorageError, match="no such file") as caught:
        storage.read("memory://other/none")
    kinds.append(type(caught.value))
    proxy.plan = lambda number: None
    storage.read(f"{folder}/b")
    proxy.plan = lambda number: "stall"
    assert [*kinds, fail_to_read()] == [StorageError, OutputError, StorageError, StorageError]


def test_an_open_file_of_a_store_that_breaks_down_is_an_expected_error(folder, proxy):
    storage.write(f"{folder}/a", b"x")
    refused = pytest.raises(StorageError, match=f"^{folder}/a cannot be read: access is denied")
    with refused, storage.open_binary(f"{folder}/a") as file:
        proxy.plan = lambda number: 403
        file.read()
