"""Fixtures for several files."""

import os
from collections.abc import Iterator

import fsspec
import pytest

from tests import emulators

# Read by gcsfs as it is imported, whichever test comes first.
os.environ.update({name: value for name, value in emulators.environment("gs", "").items() if value == "false"})

STORES = {"gs": emulators.gcs, "s3": emulators.s3}


@pytest.fixture(scope="session", params=STORES)
def store(request) -> Iterator[tuple[str, str]]:
    """Scheme and address of an emulated store."""
    with STORES[request.param]() as endpoint:
        yield request.param, endpoint


@pytest.fixture
def proxy(store, monkeypatch) -> Iterator[emulators.Proxy]:
    """A proxy that this process's clients ask for the store's bucket; its plan is without faults until it is set."""
    scheme, endpoint = store
    with emulators.Proxy(endpoint, lambda number: None) as found:
        for name, value in emulators.environment(scheme, found.address).items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class(scheme).clear_instance_cache()
        yield found
        fsspec.get_filesystem_class(scheme).clear_instance_cache()
