"""Results at an address: the files of a folder, put there as they are finished, gone on with from anywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_store import BUCKET, KEY, SECRET, FaultyStore, client, content, keys, upload

import boxseg
from boxseg.atomic import write_text
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.errors import ConfigError
from boxseg.remote import claims, hooks, published
from boxseg.remote.address import as_path
from boxseg.remote.patience import StorageError
from boxseg.runs import layout

OUT = f"s3://{BUCKET}/out"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "toy"
    write_toy(root, train=6, val=2, size=80)
    return root


@pytest.fixture(scope="module")
def near(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Labels in a folder of this machine."""
    folder = tmp_path_factory.mktemp("near") / "out"
    label(toy, folder)
    return files_in(folder)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def label(data: Path | str, out: Path | str = OUT, **options: Any) -> Any:
    return boxseg.label(data=str(data), out=out, method="ellipse", crf=False, progress=False, **options)


def same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert found.keys() == expected.keys()
    assert {name for name in found if found[name] != expected[name]} <= {"config.yaml"}


def test_what_a_command_keeps_to_itself_is_not_put_there() -> None:
    assert {layout.LOCK, layout.HOLDER} <= set(published._HERE)


def test_labels_are_the_files_of_a_folder(
    store: FaultyStore, toy: Path, near: dict[str, bytes], tmp_path: Path
) -> None:
    result = label(toy)
    same(content("out"), near)
    assert str(result.folder) == OUT
    assert result.notes()[0].startswith(f"Masks: {OUT}/masks.json (")
    assert b"out: s3://photos/out\n" in content("out")["config.yaml"]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], "nothing stays here"
    assert store.count("PUT .*labels/train_0000.png") == 1


def test_where_tags_are_no_checksums_nothing_is_put_twice_or_kept_unseen(
    store: FaultyStore, toy: Path, near: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in encrypted buckets: a file that a killed command has left here may be another than the one there."""
    monkeypatch.setattr(published, "is_md5", lambda tag: False)
    store.plant("503", "PUT .*masks.json", 7)
    with pytest.raises(StorageError):
        label(toy)
    mask = next(path for path in (published.cache_folder() / "work").rglob("labels/train_0000.png"))
    mask.write_bytes(bytes(reversed(mask.read_bytes())))
    label(toy)
    same(content("out"), near)
    assert store.count("PUT .*labels/train_0000.png") == 1
    assert store.count("GET .*labels/train_0000.png") == 2, "fetched anew, and looked at by this test"


def test_what_is_done_stays_done_on_any_machine(
    store: FaultyStore, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(toy)
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "elsewhere"))
    store.asked.clear()
    result = label(toy)
    assert (result.written, result.present) == (0, 6)
    assert store.count("PUT .*(labels|masks|confidence|reliable)/") == 0


def test_a_photo_that_changed_is_made_anew(store: FaultyStore, toy: Path, tmp_path: Path) -> None:
    root = tmp_path / "toy"
    shutil.copytree(toy, root)
    label(root)
    file = root / "Annotations" / "train_0002.xml"
    text = file.read_text()
    left = int(re.findall(r"<xmin>(\d+)", text)[0])
    write_text(file, text.replace(f"<xmin>{left}<", f"<xmin>{left + 2}<", 1))
    result = label(root)
    assert result.written == 1
    folder = tmp_path / "anew"
    label(root, folder)
    same(content("out"), files_in(folder))


def test_options_of_another_job_are_refused(
    store: FaultyStore, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(toy)
    before = content("out")
    assert execute(["label", f"data={toy}", f"out={OUT}", "method=box", "crf=false", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"boxseg: {OUT} holds a run with other options (label.method: ellipse → box)")
    assert content("out") == before
    label(toy, overwrite=True, scores=False)
    assert "metrics.json" not in content("out"), "what overwrite=true removes is removed there, too"


def test_a_folder_of_somebody_else_sends_nothing_anywhere(
    store: FaultyStore, toy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    label(toy, folder)
    (folder / hooks.ADDRESS).write_text(f"s3://{BUCKET}/theirs")
    label(toy, folder, overwrite=True)
    assert not store.asked


def test_files_of_others_stay(store: FaultyStore, toy: Path) -> None:
    client().put_object(Bucket=BUCKET, Key="out/notes/mine.txt", Body=b"mine")
    label(toy)
    label(toy, overwrite=True)
    assert content("out")["notes/mine.txt"] == b"mine"


CODE = """
import sys, boxseg
from boxseg.runs import provenance
provenance._TOGETHER = 1
boxseg.label(data=sys.argv[1], out=sys.argv[2], method="ellipse", crf=False, progress=False)
"""


def command(toy: Path, **environment: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", CODE, str(toy), OUT]
    return subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.PIPE)


def until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)


def test_a_killed_command_is_gone_on_with_elsewhere(
    store: FaultyStore, toy: Path, near: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while files go up: what is recorded there is whole, and the rest is made by another machine."""
    store.plant("slow", "PUT .*/train_0004", 10**6, seconds=60)
    with command(toy) as process:
        until(lambda: any("train_0004" in request for request in store.asked), process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    store.faults.clear()
    found = content("out")
    recorded = {
        json.loads(line)["id"]
        for name, lines in found.items()
        if name.startswith(published.LINES)
        for line in lines.splitlines()
    }
    assert 1 <= len(recorded) < 6
    for name in recorded:
        assert found[f"labels/{name}.png"] == near[f"labels/{name}.png"]
        assert found[f"masks/{name}.json"] == near[f"masks/{name}.json"]
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "elsewhere"))
    store.asked.clear()
    result = label(toy)
    assert (result.written, result.present) == (6 - len(recorded), len(recorded))
    same(content("out"), near)


def test_a_busy_store_is_asked_again(store: FaultyStore, toy: Path, near: dict[str, bytes]) -> None:
    for pattern in ("PUT .*/labels/", "PUT .*provenance", "PUT .*masks.json", r"GET .*\?list", "DELETE"):
        store.plant("503", pattern, 2)
    label(toy)
    assert store.met == ["503"] * 10
    same(content("out"), near)


def test_what_could_not_be_put_is_not_recorded(store: FaultyStore, toy: Path, near: dict[str, bytes]) -> None:
    store.plant("503", "PUT .*/labels/train_0003", 10**6)
    with pytest.raises(StorageError, match=rf"^{OUT}/labels/train_0003.png: no usable answer"):
        label(toy)
    lines = b"".join(lines for name, lines in content("out").items() if "provenance" in name)
    assert b"train_0003" not in lines
    assert "masks.json" not in content("out")
    store.faults.clear()
    label(toy)
    same(content("out"), near)


def test_a_command_that_may_not_write_says_so(
    store: FaultyStore, toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHEROTHEROTHERO")
    assert execute(["label", f"data={toy}", f"out={OUT}", "method=ellipse", "crf=false", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"boxseg: {OUT}/.in-use/")
    assert "the store refuses access" in said
    assert said.count("\n") == 1


def test_a_dry_run_reads_and_writes_nothing(store: FaultyStore, toy: Path, tmp_path: Path) -> None:
    label(toy)
    before = content("out")
    store.asked.clear()
    result = label(toy, dry_run=True)
    assert "there already" in str(result.tables()[0].texts())
    assert store.count("^(PUT|POST|DELETE)") == 0
    assert store.count("GET .*png") == 0
    assert content("out") == before
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.fixture
def claim() -> Iterator[Any]:
    """Puts a claim of another command."""

    def put(host: str = "elsewhere", process: int = 1) -> None:
        said = {"host": host, "process": process, "since": "2026-01-01 10:00"}
        client().put_object(Bucket=BUCKET, Key="out/.in-use/other", Body=json.dumps(said).encode())

    return put


def test_two_commands_do_not_work_at_one_address(
    store: FaultyStore, toy: Path, claim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim()
    in_use = f"^out={OUT} is in use by process 1 on elsewhere since 2026-01-01 10:00: wait .*90 seconds"
    with pytest.raises(ConfigError, match=in_use):
        label(toy)
    assert keys("out") == ["out/.in-use/other"], "and its own claim is taken back"
    monkeypatch.setattr(claims, "_OLD", -10.0)  # as if it were older
    label(toy)
    assert not keys("out/.in-use")


def test_a_killed_command_of_this_machine_is_no_hindrance(store: FaultyStore, toy: Path, claim: Any) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    claim(os.uname().nodename, dead.pid)
    label(toy)
    assert not keys("out/.in-use")


def test_a_claim_is_put_again_while_the_work_goes_on(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_EVERY", 0.01)
    address: Any = as_path(OUT)
    with claims.claimed(address):
        while store.count("PUT .*in-use") < 4:
            time.sleep(0.01)
    assert not keys("out")


def test_keys_that_lead_out_are_left_alone(store: FaultyStore, tmp_path: Path) -> None:
    client().put_object(Bucket=BUCKET, Key="out/../../../escaped.txt", Body=b"x")
    client().put_object(Bucket=BUCKET, Key="out/inside.txt", Body=b"x")
    address: Any = as_path(OUT)
    with published.looked_at(address, layout.AT_ADDRESS) as folder:
        assert [path.name for path in folder.rglob("*.txt")] == ["inside.txt"]
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.slow
def test_several_processes_put_their_files(store: FaultyStore, toy: Path, near: dict[str, bytes]) -> None:
    label(toy, devices=2, accelerator="cpu")
    same(content("out"), near)


def test_labels_there_are_scored_and_converted(store: FaultyStore, toy: Path, tmp_path: Path) -> None:
    root = upload(toy, "toy")
    label(toy, tmp_path / "near")
    label(root)
    results = {}
    for name, labels, data in (("near", tmp_path / "near", toy), ("far", OUT, root)):
        options = {"root": str(data), "split": "train"}
        boxseg.evaluate(labels=labels, data=options, out=tmp_path / name / "scores", progress=False)
        for kind in ("coco", "voc"):
            boxseg.convert(source=labels, out=tmp_path / name / kind, format=kind, progress=False)
        results[name] = {
            key: value
            for key, value in files_in(tmp_path / name).items()
            if key.startswith(("scores", "coco", "voc"))
        }
    assert results["near"].keys() == results["far"].keys()
    differing = {name for name in results["near"] if results["near"][name] != results["far"][name]}
    assert differing <= {"coco/convert.yaml", "voc/convert.yaml"}
    boxseg.evaluate(labels=OUT, data={"root": root, "split": "train"}, out=f"{OUT}/scores", progress=False)
    assert content("out")["scores/metrics.json"] == results["far"]["scores/metrics.json"]


@pytest.fixture(scope="module")
def network(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network that has learned nothing."""
    folder = tmp_path_factory.mktemp("network")
    words = {"data": str(toy), "labels": "ground-truth", "out": folder, "iterations": 1, "batch": 2}
    boxseg.segment(**words, scores=False, progress=False, crf=False)  # type: ignore[arg-type]
    return folder


def test_predictions_are_the_files_of_a_folder(
    store: FaultyStore, toy: Path, network: Path, tmp_path: Path
) -> None:
    root = upload(toy, "toy")
    options: Any = {"checkpoint": network, "crf": False, "progress": False}
    boxseg.predict(images=f"{toy}/JPEGImages/val_*.jpg", out=tmp_path / "near", **options)
    result = boxseg.predict(images=f"{root}/JPEGImages/val_*.jpg", out=OUT, **options)
    near, far = files_in(tmp_path / "near"), content("out")
    assert near.keys() == far.keys()
    assert {name for name in near if near[name] != far[name]} == {"photos.json"}
    assert str(result.folder) == OUT
    assert json.loads(far["photos.json"]) == {
        f"val_{number:04}": f"{root}/JPEGImages/val_{number:04}.jpg" for number in range(2)
    }
    boxseg.convert(source=OUT, out=tmp_path / "converted", format="masks", progress=False)
    assert (tmp_path / "converted" / "images" / "train" / "val_0000.jpg").is_file()


def test_no_key_is_in_any_file_or_message(
    store: FaultyStore, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], network: Path
) -> None:
    root = upload(toy, "toy")
    words = [f"data={root}", "method=ellipse", "crf=false", "--verbose"]
    assert execute(["doctor", root, "--verbose"]) == 0
    assert execute(["label", f"out={OUT}", *words]) == 0
    assert execute(["label", f"out={tmp_path / 'near'}", *words]) == 0
    assert execute(["report", str(tmp_path / "near"), "--verbose"]) == 0
    store.plant("503", "GET .*jpg", 10**6)
    shutil.rmtree(tmp_path / "cache")
    assert execute(["doctor", root, "--debug"]) == 2
    said = capfd.readouterr()
    found = [said.out.encode(), said.err.encode(), *content("out").values()]
    found += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) > 40
    for secret in (KEY.encode(), SECRET.encode()):
        assert not any(secret in text for text in found)


def test_users_of_folders_import_nothing_of_it(toy: Path, tmp_path: Path) -> None:
    code = (
        "import sys, boxseg; from boxseg.options import build_job; "
        "build_job('label', {'data.root': 'x', 'out': 'y'}); "
        "print(sorted(name for name in sys.modules if name.startswith(('fsspec', 's3fs', 'boxseg.remote'))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(boxseg.__file__).parents[1])}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    names = set(json.loads(said.stdout.replace("'", '"')))
    assert names <= {"boxseg.remote", *(f"boxseg.remote.{name}" for name in ("address", "names", "places"))}
    assert hooks.publication_of(tmp_path, layout.AT_ADDRESS) is None
