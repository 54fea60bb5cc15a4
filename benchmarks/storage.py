"""What it costs that photos, or labels, lie in a store: time, and requests a photo.

    pip install -e '.[dev]'
    python benchmarks/storage.py --data DIR --photos 60 --latency 50       # DIR: VOCdevkit/VOC2012

The store is moto's S3 server on this machine, in a process of its own; each of its answers takes `--latency`
milliseconds longer, as one from elsewhere does. *First* is with an empty cache, *again* with what the command
before has left there. The server takes processor time from the labelling, which a store elsewhere does not.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import boxseg
from boxseg.dataset import BoxDataset
from boxseg.progress import quiet
from measure import parser, photos, settings, table

BUCKET = "photos"
# Kinds of requests, by what they ask for.
KINDS = {"lists": r"\?list", "HEAD": "^HEAD", "GET": "^GET", "PUT": "^PUT", "DELETE": "^(DELETE|POST)"}


def serve(pipe: Connection, latency: float) -> None:
    """Answer requests; a word through the pipe asks for how many there were since the last one."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    inner, counts, lock = DomainDispatcherApplication(create_backend_app), Counter[str](), threading.Lock()

    def door(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        request = f"{environ['REQUEST_METHOD']} {'?list' * ('list-type' in environ.get('QUERY_STRING', ''))}"
        with lock:
            counts[next(kind for kind, pattern in KINDS.items() if re.search(pattern, request))] += 1
        time.sleep(latency)
        return inner(environ, start)

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Nothing."""

    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_port)
    while pipe.recv() == "count":
        with lock:
            pipe.send(dict(counts))
            counts.clear()


@contextmanager
def store(latency: float, cache: Path) -> Iterator[Callable[[], dict[str, int]]]:
    """A store, with its keys in the environment; gives a function that counts requests since its last call."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, latency), daemon=True)
    process.start()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{here.recv()}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BOXSEG_CACHE": str(cache),
        "no_proxy": "127.0.0.1",
    }

    def count() -> dict[str, int]:
        here.send("count")
        found: dict[str, int] = here.recv()
        return found

    try:
        yield count
    finally:
        here.send("end")
        process.join()
        os.environ.clear()
        os.environ |= before


def upload(dataset: BoxDataset, folder: Path) -> str:
    """Copy the photos, with their boxes, to a VOC folder and to the store; returns the address."""
    import boto3

    for name in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for sample in dataset.samples:
        shutil.copy(sample.image, folder / "JPEGImages")
        shutil.copy(dataset.root / "Annotations" / f"{sample.id}.xml", folder / "Annotations")
    names = "".join(f"{sample.id}\n" for sample in dataset.samples)
    (folder / "ImageSets/Segmentation/train.txt").write_text(names)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for file in folder.rglob("*.*"):
        key = f"voc/{file.relative_to(folder)}"
        client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
    return f"s3://{BUCKET}/voc"


def main(words: list[str] | None = None) -> None:
    """Measure, and print a table."""
    arguments = parser(__doc__)
    arguments.add_argument("--photos", type=int, default=60)
    arguments.add_argument("--latency", type=float, default=20.0, help="milliseconds of each answer")
    options = arguments.parse_args(words)
    number = 3 if options.smoke else options.photos
    with tempfile.TemporaryDirectory() as name, settings(options), quiet():
        folder = Path(name)
        with store(options.latency / 1e3, folder / "cache") as count:
            dataset = photos(options.data, number, folder / "made", options.smoke)
            near = folder / "near"
            address = upload(dataset, near)
            quick = {"method": "ellipse", "crf": False} if options.smoke else {}
            rows = _rows(near, address, folder, options.repetitions, count, quick)
            rows = [
                (name, seconds, *(each / len(dataset) for each in numbers)) for name, seconds, *numbers in rows
            ]
    print(f"{len(dataset)} photos, {options.latency:g} ms an answer\n")
    print(table(("", "seconds", *(f"{kind} a photo" for kind in KINDS)), rows))


def _rows(
    near: Path,
    address: str,
    folder: Path,
    repetitions: int,
    count: Callable[[], dict[str, int]],
    labelling: dict[str, Any],
) -> list[tuple[Any, ...]]:
    """Name, seconds and requests by kind of each way to work."""

    def label(data: Path | str, out: Path | str) -> None:
        boxseg.label(data=str(data), out=out, scores=False, overwrite=True, progress=False, **labelling)

    def doctor(data: Path | str) -> None:
        boxseg.doctor(data=str(data), progress=False)

    def first(work: Callable[..., None], *given: Any) -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        work(*given)

    works: dict[str, Callable[[], None]] = {
        "label, folder to folder": lambda: label(near, folder / "a"),
        "label, store to folder, first": lambda: first(label, address, folder / "b"),
        "label, store to folder, again": lambda: label(address, folder / "b"),
        "label, store to store, first": lambda: first(label, address, f"s3://{BUCKET}/{time.time_ns()}"),
        "doctor, folder": lambda: doctor(near),
        "doctor, store, first": lambda: first(doctor, address),
        "doctor, store, again": lambda: doctor(address),
    }
    label(near, folder / "warm")
    seconds: dict[str, list[float]] = {name: [] for name in works}
    requests: dict[str, dict[str, int]] = {}
    for _ in range(repetitions):
        for name, work in works.items():
            count()
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
            requests[name] = count()
    return [(name, median(seconds[name]), *(requests[name].get(kind, 0) for kind in KINDS)) for name in works]


if __name__ == "__main__":
    main()
