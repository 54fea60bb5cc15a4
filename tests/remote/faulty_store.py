"""An S3 server on the loopback interface, moto's, behind a door that counts requests and plants faults."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

KEY, SECRET = "AKIDTESTTESTTESTTEST", "test-secret-4f1c9a77d0"
BUCKET = "photos"

Start = Callable[..., Any]


@dataclass
class Fault:
    """What happens to requests whose method and path a pattern matches.

    Attributes:
        what: `503`, `cut` (a body that ends early), `flip` (a body with another byte), `slow` (an answer that
            comes after `seconds`), or `gone` (404).
        pattern: Of `METHOD /bucket/key`.
        times: How often.
        seconds: Of a slow answer.
    """

    what: str
    pattern: str
    times: int = 1
    seconds: float = 3.0


@dataclass
class FaultyStore:
    """The server, and what it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    at_once: int = 0  # most requests that were being answered at the same time
    delay: float = 0.0  # seconds that each answer takes

    def plant(self, what: str, pattern: str, times: int = 1, seconds: float = 3.0) -> None:
        self.faults.append(Fault(what, pattern, times, seconds))

    def count(self, pattern: str) -> int:
        return sum(re.search(pattern, request) is not None for request in self.asked)


class Door:
    """WSGI in front of the server."""

    def __init__(self, inner: Any, store: FaultyStore) -> None:
        self._inner, self._store, self._lock, self._now = inner, store, threading.Lock(), 0

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        store = self._store
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        if "list-type" in environ.get("QUERY_STRING", ""):
            request += "?list"
        with self._lock:
            store.asked.append(request)
            self._now += 1
            store.at_once = max(store.at_once, self._now)
            fault = next((f for f in store.faults if f.times > 0 and re.search(f.pattern, request)), None)
            if fault is not None:
                fault.times -= 1
                store.met.append(fault.what)
        try:
            if store.delay:
                time.sleep(store.delay)
            answer = self._answer(environ, start, fault)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else answer
        finally:
            with self._lock:
                self._now -= 1

    def _answer(self, environ: dict[str, Any], start: Start, fault: Fault | None) -> Iterable[bytes]:
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return _refused(start, "403 Forbidden", "InvalidAccessKeyId", "There is no such Access Key Id.")
        if fault is None:
            return self._inner(environ, start)
        if fault.what == "503":
            return _refused(start, "503 Slow Down", "SlowDown", "Please reduce your request rate.")
        if fault.what == "gone":
            return _refused(start, "404 Not Found", "NoSuchKey", "The specified key does not exist.")
        if fault.what == "slow":
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until and fault in self._store.faults:
                time.sleep(0.05)
            if fault in self._store.faults:
                return self._inner(environ, start)
            return _refused(start, "503 Slow Down", "SlowDown", "The test is over.")
        held: list[Any] = []
        body = b"".join(self._inner(environ, lambda *given: held.extend(given)))
        status, headers = held[0], [(k, v) for k, v in held[1] if "checksum" not in k.lower()]
        start(status, headers)
        return [body[: len(body) // 2]] if fault.what == "cut" else [body[:-1] + bytes([body[-1] ^ 1])]


def _refused(start: Start, status: str, code: str, message: str) -> list[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]  # not of HEAD


@contextmanager
def faulty_store() -> Iterator[FaultyStore]:
    """A running server with an empty bucket."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Nothing."""

    store = FaultyStore()
    door = Door(DomainDispatcherApplication(create_backend_app), store)
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=Silent)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()


def client() -> Any:
    """A client of another library than the one that is tested, with the right keys."""
    return _client(os.environ["AWS_ENDPOINT_URL"])


@cache
def _client(url: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET)


def empty() -> None:
    if there := keys():
        client().delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in there]})


def keys(prefix: str = "") -> list[str]:
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def upload(folder: Path, key: str) -> str:
    """Put the files of a folder there; returns the address."""
    own = client()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        own.put_object(Bucket=BUCKET, Key=f"{key}/{file.relative_to(folder)}", Body=file.read_bytes())
    return f"s3://{BUCKET}/{key}"


def content(prefix: str) -> dict[str, bytes]:
    """Objects below a prefix, by the rest of their keys."""
    own = client()
    return {
        key.removeprefix(f"{prefix}/"): own.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in keys(f"{prefix}/")
    }
