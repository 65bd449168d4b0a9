"""URIs, and files on a local disk and in memory."""

import datetime
import errno
import fcntl
import functools
import http.server
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
import time

import fsspec
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hdnet.transforms import storage
from hdnet.transforms.errors import OutputError, SizeError, StorageError
from hdnet.transforms.storage import local


@pytest.mark.parametrize(
    ("base", "uri", "joined"),
    [
        ("gs://b/in", "cat/a//./b.jpg", "gs://b/in/cat/a//b.jpg"),
        ("gs://b/in/", "../c.jpg", "gs://b/c.jpg"),
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


def test_a_missing_folder_cannot_be_listed(tmp_path):
    assert storage.list_files(str(tmp_path)) == []
    with pytest.raises(FileNotFoundError, match="no such folder"):
        storage.list_files(f"{tmp_path}/x")


def test_a_scheme_that_nothing_opens_is_named():
    unknown = pytest.raises(StorageError, match="cannot open nosuch://a/b.csv: Protocol not known: nosuch")
    with unknown, storage.open_binary("nosuch://a/b.csv"):
        pass


def test_a_block_s_own_errors_pass_through_an_open_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(KeyError), storage.open_binary(f"{tmp_path}/a"):
        raise KeyError


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_a_file_is_written_and_written_over(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}/x/a"
    for data in (b"old", b"", b"new"):
        storage.write(uri, data)
        assert storage.read(uri) == data
    assert storage.list_files(f"{scheme}{tmp_path}") == ["x/a"]


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_a_file_keeps_its_version_until_it_changes(tmp_path, scheme):
    root = f"{scheme}{tmp_path}"
    for name in ("a/1", "a/b/2", "c/3"):
        storage.write(f"{root}/{name}", b"old")
    before = storage.listing([f"{root}/a", f"{root}/a/b", f"{root}/none"])
    assert sorted(before) == [f"{root}/a/1", f"{root}/a/b/2"]  # each folder by itself
    time.sleep(0.01)
    storage.write(f"{root}/a/1", b"new")
    after = storage.listing([root, f"{root}/a", f"{root}/a/b"])
    assert after.keys() == before.keys() and {uri for uri in after if after[uri] != before[uri]} == {f"{root}/a/1"}


def test_a_folder_that_cannot_be_listed_costs_its_own_files(tmp_path, monkeypatch):
    for name in ("a/1", "b/1"):
        storage.write(f"{tmp_path}/{name}", b"x")
    find = storage._find

    def refuse(uri, depth=None):
        if uri.endswith("/a/"):
            raise StorageError("a: access is denied")
        return find(uri, depth)

    monkeypatch.setattr(storage, "_find", refuse)
    excuses: list[StorageError] = []
    assert list(storage.listing([f"{tmp_path}/a", f"{tmp_path}/b"], excuses.append)) == [f"{tmp_path}/b/1"]
    assert len(excuses) == 1
    with pytest.raises(StorageError, match="denied"):
        storage.listing([f"{tmp_path}/a"])


def test_listed_files_of_the_working_folder_have_bare_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/b.png").write_bytes(b"x")
    assert sorted(storage.listing([""])) == ["a.png"]
    assert sorted(storage.listing(["x", "../none"])) == ["x/b.png"]


def test_a_link_s_version_is_its_target_s(tmp_path):
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "target")
    before = storage.listing([f"{tmp_path}/in"])
    os.utime(tmp_path / "target", ns=(1, 1))
    (tmp_path / "in/broken").symlink_to(tmp_path / "none")
    assert storage.listing([f"{tmp_path}/in"]) != before


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("pipe", "it is not a regular file"),
        ("", "it is a folder"),
        ("none", "there is no such file"),
    ):
        with pytest.raises(StorageError, match=f"cannot be read: {reason}"):
            storage.read(f"{tmp_path}/{name}")
    with pytest.raises(StorageError, match="not a regular file"):
        storage.read("/dev/zero")


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_file_larger_than_the_limit_is_not_read(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}/a"
    storage.write(uri, b"123")
    assert storage.read(uri, 3) == b"123"
    with pytest.raises(SizeError, match=f"^{uri} has more than 2 bytes"):
        storage.read(uri, 2)


def test_a_folder_where_a_file_should_be_costs_that_file_alone(tmp_path):
    storage.write(f"{tmp_path}/a/b", b"x")
    for name, reason in (("a", "it is a folder"), ("a/b/c", "a file stands where a folder must be")):
        with pytest.raises(StorageError, match=f"cannot be written: {reason}") as caught:
            storage.write(f"{tmp_path}/{name}", b"x")
        assert not isinstance(caught.value, OutputError)
    assert storage.list_files(str(tmp_path)) == ["a/b"]


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOSPC, OutputError, "the disk is full"),
        (errno.EDQUOT, OutputError, "the disk is full"),
        (errno.EROFS, OutputError, "the disk is read-only"),
        (errno.EACCES, StorageError, "access is denied"),
        (errno.EIO, StorageError, "Input/output error"),
    ],
)
def test_a_disk_that_takes_no_more_stops_the_run_and_keeps_the_old_file(tmp_path, monkeypatch, number, kind, reason):
    storage.write(f"{tmp_path}/a", b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=reason) as caught:
        storage.write(f"{tmp_path}/a", b"new")
    assert type(caught.value) is kind
    assert storage.list_files(str(tmp_path)) == ["a"] and storage.read(f"{tmp_path}/a") == b"old"


WRITER = """
import itertools, sys
from hdnet.transforms import storage
for number in itertools.count():
    storage.write(sys.argv[1], bytes([number % 256]) * 3_000_000)
    if not number:
        print("begun", flush=True)
"""


def test_files_are_removed_whether_they_exist_or_not(tmp_path):
    for name in ("b", "d"):
        (tmp_path / name).touch()
    storage.remove_files([f"{tmp_path}/{name}" for name in "abcd"])
    assert not list(tmp_path.iterdir())
    storage.remove_files([])


def test_a_killed_writer_leaves_a_whole_file_and_what_a_sweep_removes(tmp_path):
    target, left = tmp_path / "images/a.png", 0
    for delay in np.random.default_rng(0).uniform(0, 0.03, 8):
        with subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE) as writer:
            assert writer.stdout and writer.stdout.readline() == b"begun\n"
            time.sleep(delay)
            storage.sweep(str(tmp_path))  # while a file is being written, which goes on
            writer.kill()
        data = target.read_bytes()
        assert data == data[:1] * 3_000_000
        left += storage.sweep(str(tmp_path))
        assert os.listdir(target.parent) == ["a.png"]
    assert left > 0


def test_a_sweep_leaves_live_and_foreign_files_alone(tmp_path):
    names = ("a.tmp", f".b.0123{local.TEMPORARY}", f".c.0123{local.TEMPORARY}")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with open(tmp_path / names[1], "rb") as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        assert storage.sweep(str(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path)) == sorted(names[:2])
    assert storage.sweep("memory://x") == storage.sweep(f"{tmp_path}/none") == 0


def test_a_writer_whose_file_was_swept_before_it_was_locked_takes_another(tmp_path, monkeypatch):
    lock, swept = fcntl.flock, list[bool]()

    def too_late(file, kind):
        if not swept:
            swept.append(True)
            assert storage.sweep(str(tmp_path)) == 1
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", too_late)
    storage.write(f"{tmp_path}/a", b"x")
    assert storage.read(f"{tmp_path}/a") == b"x" and os.listdir(tmp_path) == ["a"]


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The address of a web server of a folder; it speaks HTTP, because nobody would trust its certificate."""
    monkeypatch.setattr(storage, "READ_ONLY", frozenset({"http"}))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_files_of_a_web_server_are_read_one_by_one(web, tmp_path):
    (tmp_path / "a b.png").write_bytes(b"12345")
    assert storage.read(f"{web}/a%20b.png", limit=5) == b"12345"
    with storage.open_binary(f"{web}/a%20b.png") as file:
        assert file.read(3) == b"123" and file.seek(0) == 0
    with pytest.raises(SizeError, match="more than 4 bytes"):
        storage.read(f"{web}/a%20b.png", limit=4)
    with pytest.raises(StorageError, match="there is no such file"):
        storage.read(f"{web}/c.png")
    before = storage.ask([f"{web}/a%20b.png", f"{web}/c.png"])
    (tmp_path / "a b.png").write_bytes(b"123456")
    after = storage.ask([f"{web}/a%20b.png"])
    assert before.keys() == after.keys() and before != after


@pytest.fixture
def secure_web(tmp_path):
    """The address of a web server of a folder, and the file of the certificate that it has given itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(host, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "certificate").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "both").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}", tmp_path / "certificate"
        server.shutdown()
        thread.join()


def test_a_certificate_that_is_not_trusted_is_an_error_at_once(secure_web):
    with pytest.raises(StorageError, match=r"certificate is not trusted \(self-signed certificate\): .* SSL_CERT_FILE"):
        storage.read(f"{secure_web[0]}/certificate")
    assert storage.ask([f"{secure_web[0]}/certificate"]) == {}


def test_a_web_server_is_read_through_tls(secure_web):
    uri, certificate = f"{secure_web[0]}/certificate", secure_web[1]
    code = f"from hdnet.transforms import storage; print(storage.read({uri!r})[:5], len(storage.ask([{uri!r}])))"
    environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}  # which is read when a process begins
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == "b'-----' 1\n", done.stderr
