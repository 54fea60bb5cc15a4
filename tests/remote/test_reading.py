"""Data sets in a store: read as from a folder, with few requests, through faults of the store."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_store import BUCKET, FaultyStore, client, upload
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Augment, Data
from boxseg.data.loading import BoxTraining, make_loader
from boxseg.data.sampler import StreamSampler
from boxseg.data.toy import write_toy
from boxseg.formats.images import read_header
from boxseg.remote import headers, hooks
from boxseg.remote.address import as_path
from boxseg.remote.cache import Cache
from boxseg.remote.store import forget, store_of

PHOTO = "train_0001.jpg"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "toy"
    write_toy(root, train=6, val=2)
    return root


@pytest.fixture
def address(store: FaultyStore, toy: Path) -> str:
    found = upload(toy, "toy")
    store.asked.clear()
    return found


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def label(data: str, out: Path | str, **options: Any) -> Any:
    return boxseg.label(data=data, out=out, method="ellipse", crf=False, progress=False, **options)


def same_results(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """The same files with the same bytes, but for where the data are and when photos were changed."""
    assert found.keys() == expected.keys()
    differing = {name for name in found if found[name] != expected[name]}
    assert differing <= {"config.yaml", "provenance.jsonl", "versions.json"}


def test_labels_are_those_of_a_folder(address: str, toy: Path, tmp_path: Path) -> None:
    label(str(toy), tmp_path / "near")
    label(address, tmp_path / "far")
    same_results(files_in(tmp_path / "far"), files_in(tmp_path / "near"))
    assert f"root: {address}" in (tmp_path / "far" / "config.yaml").read_text()


def test_doctor_says_the_same(address: str, toy: Path) -> None:
    near, far = boxseg.doctor(data=str(toy), progress=False), boxseg.doctor(data=address, progress=False)
    said = [
        json.dumps(result.to_dict()).replace(root, "ROOT")
        for result, root in ((near, str(toy)), (far, address))
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_training_images_are_the_same(workers: int, address: str, toy: Path, store: FaultyStore) -> None:
    """In this process, and in processes that are forked from one with a connection, which they may not use."""
    batches = []
    for root, count in ((toy, 0), (address, workers)):
        dataset = BoxTraining(formats.load(Data(root=Path(root))), Augment(), seed=0)
        if root == address:
            shutil.rmtree(Cache().folder)
        sampler = StreamSampler(len(dataset), batch=3, iterations=4, seed=0)
        batches.append(list(make_loader(dataset, sampler, workers=count)))
    for near, far in zip(*batches, strict=True):
        assert near.keys() == far.keys()
        assert all(torch.equal(near[name], far[name]) for name in near)
    assert store.count("GET .*jpg") >= 6


def test_a_training_reads_ahead_in_a_process_of_its_own(address: str, toy: Path) -> None:
    sampler = StreamSampler(6, batch=3, iterations=1, seed=0)
    counts = {}
    for root in (str(toy), address):
        dataset = BoxTraining(formats.load(Data(root=Path(root))), Augment(), seed=0)
        counts[root] = make_loader(dataset, sampler).num_workers
    assert counts[str(toy)] == 0, "so few photos need none"
    assert counts[address] >= 1


@pytest.mark.slow
def test_a_training_has_the_same_weights(address: str, toy: Path, tmp_path: Path) -> None:
    for name, data in (("near", str(toy)), ("far", address)):
        boxseg.classify(data=data, out=tmp_path / name, progress=False, iterations=3, batch=2)
    near, far = (files_in(tmp_path / name) for name in ("near", "far"))
    assert near.keys() == far.keys()
    assert near["model.safetensors"] == far["model.safetensors"]


def test_each_object_is_asked_for_once(address: str, store: FaultyStore, tmp_path: Path) -> None:
    boxseg.doctor(data=address, progress=False)
    counts = {
        request: store.asked.count(request) for request in store.asked if request.startswith("GET /photos/")
    }
    assert max(count for request, count in counts.items() if not request.endswith("?list")) == 1
    assert store.count(r"\?list") <= 2
    store.asked.clear()
    label(address, tmp_path / "out")
    assert store.count("GET.*(jpg|xml|png)") == 0, "they are on this machine"
    assert len(store.asked) <= 4


def test_objects_are_fetched_together_and_ahead(
    address: str, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slow store and one thread that reads, the next photos are under way while one is worked on."""
    store.delay = 0.05
    samples = formats.load(Data(root=Path(address))).samples
    assert store.at_once >= 4, "headers"
    shutil.rmtree(Cache().folder)
    store.asked.clear()
    store.at_once = 0
    for taken, _ in enumerate(hooks.ahead(samples, lambda sample: [sample.image])):
        if taken == 0:
            hooks.fetch_together([samples[-1].image])  # waits for the last one
            assert store.count("GET.*jpg") == len(samples)
    assert store.at_once >= 4


def big_jpeg(file: Path) -> None:
    """A photo of half a megabyte, turned by its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.effect_noise((1000, 700), 90).convert("RGB")
    noise.save(file, quality=95, exif=exif)


def test_headers_of_large_photos_take_a_part(store: FaultyStore, tmp_path: Path, monkeypatch: Any) -> None:
    big_jpeg(tmp_path / "a.jpg")
    size = (tmp_path / "a.jpg").stat().st_size
    assert size > 4 * headers.FIRST
    address = upload(tmp_path, "large")
    monkeypatch.setenv("BOXSEG_CACHE_GB", str(size * 1.5 / 1e9))
    path = as_path(address) / "a.jpg"
    hooks.list_once(path.parent)
    store.asked.clear()
    assert read_header(path) == read_header(tmp_path / "a.jpg")
    assert store.asked == ["GET /photos/large/a.jpg"]
    assert not list(Cache().folder.rglob("*.jpg")), "nothing was kept: the part was read"


@pytest.mark.parametrize("kind", ["png", "tif", "bmp", "webp", "gif"])
def test_headers_of_every_kind_of_photo(
    kind: str, store: FaultyStore, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(headers, "FIRST", 200)
    monkeypatch.setattr(hooks, "FIRST", 200)
    monkeypatch.setattr(hooks, "SMALL", 0)
    exif = Image.Exif()
    exif[0x0112] = 8
    more = {"exif": exif} if kind in ("png", "webp", "tif") else {}
    Image.effect_noise((210, 130), 90).convert("RGB").save(tmp_path / f"a.{kind}", **more)
    path = as_path(upload(tmp_path, "kinds")) / f"a.{kind}"
    assert read_header(path) == read_header(tmp_path / f"a.{kind}")
    whole = (tmp_path / f"a.{kind}").read_bytes()
    with hooks.readable(path, whole=False) as file:
        if not isinstance(file, Path):
            file.seek(len(whole) // 2)
            assert file.read() == whole[len(whole) // 2 :]
            file.seek(-3, 2)
            assert file.read(9) == whole[-3:]
            file.seek(1)
            assert file.read(5000) == whole[1:5001]


FAULTS = {
    "503": ("503", r"GET .*jpg", 5),
    "503 of a listing": ("503", r"\?list", 2),
    "cut bodies": ("cut", r"GET .*(jpg|xml)$", 5),
    "other bytes": ("flip", r"GET .*(jpg|xml)$", 4),
    "slow answers": ("slow", r"GET .*xml$", 2),
    "a busy HEAD": ("503", "^HEAD", 2),
}


def contents(root: Path | str) -> list[tuple[str, bytes, bytes]]:
    """What is read of a data set: IDs, boxes and the bytes of photos."""
    samples = formats.load(Data(root=Path(root))).samples
    return [(sample.id, sample.boxes.tobytes(), sample.image.read_bytes()) for sample in samples]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_change_nothing(fault: str, address: str, toy: Path, store: FaultyStore) -> None:
    what, pattern, times = FAULTS[fault]
    store.plant(what, pattern, times, seconds=1.6)
    assert contents(address) == contents(toy)
    assert len(store.met) == times


def test_a_command_gets_through_all_of_them(
    address: str, toy: Path, store: FaultyStore, tmp_path: Path
) -> None:
    label(str(toy), tmp_path / "near")
    for what, pattern, times in FAULTS.values():
        store.plant(what, pattern, times, seconds=1.6)
    label(address, tmp_path / "far")
    assert len(store.met) == sum(times for _, _, times in FAULTS.values())
    same_results(files_in(tmp_path / "far"), files_in(tmp_path / "near"))


def test_a_store_that_stays_away_is_one_line(
    address: str, store: FaultyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.plant("503", "GET .*train_0003.jpg", 10**6)
    assert execute(["label", f"data={address}", f"out={tmp_path / 'out'}", "method=ellipse", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"boxseg: {address}/JPEGImages/train_0003.jpg: no usable answer in 7 attempts (")
    assert said.count("\n") == 1
    assert store.count("GET .*train_0003.jpg") == 7
    store.faults.clear()
    assert execute(["label", f"data={address}", f"out={tmp_path / 'out'}", "method=ellipse", "--quiet"]) == 0


def test_wrong_keys_are_one_line_and_not_tried_again(
    address: str, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHEROTHEROTHERO")
    assert execute(["doctor", address]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"boxseg: {address}: the store refuses access (")
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in said
    assert "AKIDOTHER" not in said
    assert said.count("\n") == 1
    assert len(store.asked) == 1


def test_a_photo_that_vanishes_is_skipped_and_listed(
    address: str, toy: Path, store: FaultyStore, tmp_path: Path
) -> None:
    """After the listing, before its header is read, as a file of a folder that is deleted meanwhile."""
    near = tmp_path / "toy"
    shutil.copytree(toy, near)
    (near / "JPEGImages" / PHOTO).unlink()
    (near / "JPEGImages" / PHOTO).symlink_to(tmp_path / "nothing")
    store.plant("gone", f"GET .*{PHOTO}", 10**6)
    dataset = formats.load(Data(root=Path(address)))
    problem = next(problem for problem in dataset.problems if PHOTO in str(problem.file))
    assert (problem.action, problem.what) == ("skipped", "unreadable photo: no such image")
    assert str(problem.file) == f"{address}/JPEGImages/{PHOTO}"
    assert len(dataset) == 5


def test_a_photo_that_vanishes_later_is_skipped_and_listed(
    address: str, store: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its header was read: `label` says which it is, and goes on."""
    monkeypatch.setattr(hooks, "FIRST", 1 << 10)
    monkeypatch.setattr(headers, "FIRST", 1 << 10)
    monkeypatch.setattr(hooks, "SMALL", 0)
    store.plant("none", f"GET .*{PHOTO}", 1)
    store.faults[0].what = "503"  # the first request is answered late, the header then
    load = formats.load

    def load_and_lose(data: Data, *, boxes: bool = True) -> Any:
        dataset = load(data, boxes=boxes)
        client().delete_object(Bucket=BUCKET, Key=f"toy/JPEGImages/{PHOTO}")
        return dataset

    monkeypatch.setattr(formats, "load", load_and_lose)
    monkeypatch.setattr("boxseg.formats.splits.load", load_and_lose, raising=False)
    result = label(address, tmp_path / "out")
    assert result.skipped == {"train_0001": f"{address}/JPEGImages/{PHOTO}: no such image"}
    assert result.written == 5


def test_an_object_that_changes_is_read_as_it_is_now(address: str, store: FaultyStore, tmp_path: Path) -> None:
    dataset = formats.load(Data(root=Path(address)))
    shutil.rmtree(Cache().folder)
    other = tmp_path / "other.jpg"
    Image.new("RGB", (dataset.samples[0].width, dataset.samples[0].height), "red").save(other)
    key = str(dataset.samples[0].image).removeprefix(f"s3://{BUCKET}/")
    client().put_object(Bucket=BUCKET, Key=key, Body=other.read_bytes())
    assert dataset.samples[0].image.read_bytes() == other.read_bytes()
    assert dataset.samples[0].image.stat().st_size == other.stat().st_size


def test_tags_that_are_no_checksums_are_left_alone(store: FaultyStore, tmp_path: Path) -> None:
    """As of encrypted buckets, whose tags look like MD5."""
    (tmp_path / "a.txt").write_text("content")
    path = as_path(upload(tmp_path, "kms")) / "a.txt"
    entry = path.parent and store_of(path).state(path)
    assert entry is not None
    store_of(path).remember(path, entry._replace(tag="0" * 32))
    real = store_of(path)._connected(str(path))
    info: Callable[..., Any] = real.info
    real.info = lambda *given, **more: {**info(*given, **more), "ETag": '"' + "0" * 32 + '"'}
    assert path.read_text() == "content"
    assert store.count("GET /photos/kms/a.txt") == 2


def test_a_small_cache_holds_what_it_may(address: str, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 40_000
    monkeypatch.setenv("BOXSEG_CACHE_GB", str(limit / 1e9))
    assert contents(address) == contents(toy)
    held = sum(file.stat().st_size for file in Cache().folder.rglob("*") if file.is_file())
    assert 0 < held <= limit
    assert sum(file.stat().st_size for file in toy.rglob("*") if file.is_file()) > 3 * limit


def test_an_address_without_anything_is_an_error(
    store: FaultyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for address in (f"s3://{BUCKET}/none", "s3://no-such-bucket/x"):
        assert execute(["doctor", address]) == 2
        assert capsys.readouterr().err == (
            f"boxseg: {address}: nothing is there, neither an object nor a folder of objects: check the "
            "address\n"
        )
    assert execute(["doctor", "nosuchstore://bucket/x"]) == 2
    assert "nosuchstore://bucket/x: no kind of store that fsspec knows" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["fsspec", "s3fs"])
def test_what_to_install_is_said(
    package: str, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    forget()
    if package == "s3fs":  # fsspec keeps what it has imported once
        registry = importlib.import_module("fsspec.registry")
        monkeypatch.delitem(registry._registry, "s3", raising=False)
    assert execute(["doctor", f"s3://{BUCKET}/x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"boxseg: s3://{BUCKET}/x: ")
    assert said.endswith("pip install 'boxseg[cloud]'\n")
    assert said.count("\n") == 1


def test_another_kind_of_store(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's in memory, which has neither tags nor S3's names of things."""
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "cache"))
    memory = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")
    memory.put(str(toy), "/there/toy", recursive=True)
    forget()
    assert contents("memory://there/toy") == contents(toy)
    near = boxseg.doctor(data=str(toy), progress=False)
    far = boxseg.doctor(data="memory://there/toy", progress=False)
    assert json.dumps(far.to_dict()).replace("memory://there/toy", str(toy)) == json.dumps(near.to_dict())
    label(str(toy), tmp_path / "near")
    label("memory://there/toy", "memory://there/out")
    written = {name.removeprefix("/there/out/"): memory.cat(name) for name in memory.find("/there/out")}
    same_results(written, files_in(tmp_path / "near"))
    memory.rm("/there", recursive=True)
