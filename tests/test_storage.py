"""URIs."""

import fsspec
import pytest

from transforms import storage
from transforms.errors import StorageError


@pytest.mark.parametrize(
    ("base", "uri", "joined"),
    [
        ("data", "a.jpg", "data/a.jpg"),
        ("", "a.jpg", "a.jpg"),
        ("data", "../a.jpg", "data/../a.jpg"),
        ("data", "/a.jpg", "/a.jpg"),
        ("/data", "gs://b/a.jpg", "gs://b/a.jpg"),
        ("gs://b", "a.jpg", "gs://b/a.jpg"),
        ("gs://b/x/y", "../a.jpg", "gs://b/x/a.jpg"),
        ("file:///x", "../a.jpg", "file:///a.jpg"),
    ],
)
def test_relative_uris_start_from_the_base(base, uri, joined):
    assert storage.join(base, uri) == joined


@pytest.mark.parametrize("uri", ["../a.jpg", "../../a.jpg", "x/../../b2/a.jpg", ".."])
def test_relative_uris_stay_in_the_bucket(uri):
    with pytest.raises(StorageError, match="leaves the bucket of gs://b"):
        storage.join("gs://b", uri)


@pytest.mark.parametrize(
    ("uri", "folder"),
    [("a.csv", ""), ("x/a.csv", "x"), ("/a.csv", "/"), ("gs://b/a.csv", "gs://b"), ("gs://b/x/a.csv", "gs://b/x")],
)
def test_the_parent_is_the_folder(uri, folder):
    assert storage.parent(uri) == folder


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_files_are_listed_by_their_paths_from_the_folder_and_opened(tmp_path, scheme):
    root = f"{scheme}{tmp_path}"
    for name in ("b.txt", "x/a.txt"):
        with fsspec.open(f"{root}/{name}", "wb", auto_mkdir=True) as file:
            file.write(name.encode())
    assert storage.list_files(root) == ["b.txt", "x/a.txt"]
    with storage.open_binary(storage.join(root, "x/a.txt")) as file:
        assert file.read() == b"x/a.txt"


def test_a_folder_that_is_not_there_cannot_be_listed(tmp_path):
    assert storage.list_files(str(tmp_path)) == []
    with pytest.raises(FileNotFoundError, match="no such folder"):
        storage.list_files(f"{tmp_path}/x")


def test_a_scheme_that_nothing_opens_is_named():
    with pytest.raises(StorageError, match="cannot open nosuch://a/b.csv: Protocol not known: nosuch"):
        storage.open_binary("nosuch://a/b.csv")
