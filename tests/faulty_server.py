"""A small HTTP server on the loopback interface that fails as it is told."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FaultyServer:
    """Files by name, and what is wrong with the serving of them.

    Attributes:
        files: Contents by name.
        ranges: Whether parts of files are served.
        etag: What every file is called, with its quotes; None for no ETag.
        date: Last-Modified of every file.
        cuts: For the next requests, after how many bytes the connection is cut; None for not at all.
        statuses: For the next requests, the status answered instead of a file.
        chunked: Whether lengths are left unsaid.
        shift: How far beside the range asked for the range sent begins.
        seen: Range and If-Range of every request so far.
    """

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: str | None = '"one"'
    date: str | None = None
    cuts: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    chunked: bool = False
    shift: int = 0
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


def _respond(server: FaultyServer, handler: BaseHTTPRequestHandler) -> None:
    asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    server.seen.append((asked, condition))
    content = server.files.get(handler.path.partition("?")[0].lstrip("/"))
    if server.statuses:
        handler.send_error(server.statuses.pop(0))
        return
    if content is None:
        handler.send_error(404)
        return
    start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
    if condition and condition not in (server.etag, server.date):
        start = 0
    if start and start >= len(content):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if start else 200)
    if start:
        start += server.shift
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    for name, value in (("ETag", server.etag), ("Last-Modified", server.date)):
        if value:
            handler.send_header(name, value)
    if not server.chunked:
        handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    cut = server.cuts.pop(0) if server.cuts else None
    handler.wfile.write(content[start:] if cut is None else content[start : start + cut])


@contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    """A server that runs in a thread of this process while the block does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _respond(server, self)

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = FaultyServer(address=f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
