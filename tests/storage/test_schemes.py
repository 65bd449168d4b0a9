"""The kinds of storage that a manifest may make the workers open."""

import pytest

from hdnet.transforms import storage
from hdnet.transforms.errors import StorageError
from hdnet.transforms.storage import schemes


@pytest.mark.parametrize(
    ("manifest", "output", "extra", "allowed"),
    [
        ("gs://b/m.csv", "gs://b/out", (), {"gs"}),
        ("gs://b/m.csv", "s3://b/out", (), {"gs", "s3"}),
        ("gs://b/m.csv", "/out", (), {"gs"}),
        ("gs://b/m.csv", "file:///out", ("file",), {"gs", "file"}),
        ("m.csv", "gs://b/out", (), {"file", "gs"}),
        ("m.csv", "out", ("s3",), {"file", "s3"}),
    ],
)
def test_a_manifest_s_own_scheme_and_the_output_s_are_allowed(manifest, output, extra, allowed):
    assert schemes.allowed(manifest, output, extra) == allowed


@pytest.mark.parametrize(
    "uri",
    ["http://169.254.169.254/", "HTTP://x", "/etc/passwd", "file:///etc/passwd", "local:///etc/passwd", "../../../etc"]
    + ["file::http://x", "simplecache::gs://b/a.png", "gs:/etc/passwd", "GS://b/a.png", "", "data:,x"],
)
def test_whatever_else_a_remote_manifest_names_is_refused(uri):
    with pytest.raises(StorageError, match="only gs may be opened: give --allow-scheme"):
        schemes.check(uri, {"gs"})


def test_a_relative_uri_of_a_remote_manifest_stays_remote():
    for uri in ("a.png", "etc/passwd", "x/../a.png", "file:/etc/passwd"):
        schemes.check(storage.join("gs://b/x", uri), {"gs"})
