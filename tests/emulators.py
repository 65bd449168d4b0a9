"""Object stores on loopback, and a proxy that makes them fail as real ones do."""

import contextlib
import http.client
import http.server
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
Fault = Literal["stall", "cut", "break"] | int | None
"""Do not answer; hang up before the request reaches the server or in the middle of its answer; a status; no fault."""
Plan = Callable[[int], Fault]
"""Decides what happens to a request by its number, counted from 0."""


@contextlib.contextmanager
def gcs() -> Iterator[str]:
    """Run Google Cloud Storage with one empty bucket and yield its address."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    while server._api._httpd is None:  # its own event comes too early
        assert server._api.is_alive(), "the emulator did not start"
        threading.Event().wait(0.01)
    server._api._httpd.socket.listen(128)  # by default five callers may wait, and a sixth is delayed for a second
    try:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    finally:
        server.stop()


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """Run S3 with one empty bucket and yield its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/{BUCKET}", method="PUT")).close()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def environment(scheme: str, endpoint: str) -> dict[str, str]:
    """Return the variables that direct a process, and all processes that it starts, to an emulator."""
    if scheme == "gs":
        # Otherwise gcsfs asks Google what kind of bucket it is, and waits for the answer for a minute.
        return {"STORAGE_EMULATOR_HOST": endpoint, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    return {"AWS_ENDPOINT_URL": endpoint, **keys}


def at_random(refused: float = 0.2, stalled: float = 0.02, cut: float = 0.02, seed: int = 0) -> Plan:
    """Return a plan that makes these fractions of the requests fail, half of the cut ones in mid-answer."""
    kinds: list[Fault] = [503, "stall", "cut", "break"]
    limits = np.cumsum([refused, stalled, cut / 2, cut / 2])
    chance = np.random.default_rng(seed)

    def plan(number: int) -> Fault:
        kind = int(np.searchsorted(limits, chance.random(), side="right"))
        return kinds[kind] if kind < len(kinds) else None

    return plan


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to a server, except for those that its plan makes fail.

    Args:
        upstream: The server's address.
        plan: May be changed at any time.

    Attributes:
        requests: Method and path of each, in order.
        delay: Seconds before each is passed on.
        faults: How many failed.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.plan = urlsplit(upstream).netloc, plan
        self.lock, self.over = threading.Lock(), threading.Event()
        self.requests: list[str] = []
        self.delay, self.faults = 0.0, 0

    @property
    def address(self) -> str:
        """The address to use instead of the server's."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def note(self, request: str) -> Fault:
        """Count a request and decide what happens to it."""
        with self.lock:
            self.requests.append(request)
            fault = self.plan(len(self.requests) - 1)
            self.faults += fault is not None
            return fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing, because clients hang up on a server that stalls."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.note(f"{self.command} {self.path}")
        time.sleep(self.server.delay)
        if fault == "stall":
            self.server.over.wait(60)
        if fault in ("stall", "cut"):
            self.close_connection = True
        elif isinstance(fault, int):
            self.answer(fault, {}, b"<html>no</html>", 15)
        else:
            self.forward(body, broken=fault == "break")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_any

    def forward(self, body: bytes, broken: bool) -> None:
        upstream = http.client.HTTPConnection(self.server.upstream)
        upstream.request(self.command, self.path, body, dict(self.headers))
        found = upstream.getresponse()
        content = found.read()
        upstream.close()
        self.close_connection = broken
        if content or not broken:
            self.answer(found.status, dict(found.getheaders()), content, len(content) // (2 if broken else 1))

    def answer(self, status: int, headers: dict[str, str], content: bytes, sent: int) -> None:
        self.send_response_only(status)
        size = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        left_out = ("content-length", "transfer-encoding", "connection")
        kept = {name: value for name, value in headers.items() if name.lower() not in left_out}
        for name, value in {**kept, "Content-Length": size}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""
