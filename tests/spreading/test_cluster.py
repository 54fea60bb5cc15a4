"""Photos on a real Dask scheduler with workers in processes of their own, on the loopback interface."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paused_method
import pytest
import torch
from torch import nn

from boxseg import __version__, plugins
from boxseg.atomic import write_text
from boxseg.cli import execute
from boxseg.config import Classify, Data, Model, Segment
from boxseg.data.toy import CLASSES, write_toy
from boxseg.formats import load
from boxseg.inference.networks import save_network, start_classifier, start_segmenter
from boxseg.shards.find import home_of
from boxseg.shards.home import FileHome
from boxseg.spreading import cluster as cluster_module
from correction_files import save_corrections

pytest.importorskip("distributed", reason="the extra `dask` is not installed")

HERE = Path(__file__).parent
# Some is written by one command alone: options, and times.
FREE = ("config.yaml", "provenance.jsonl")


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.processes = folder, []  # type: ignore[var-annotated]
        folder.mkdir(exist_ok=True)
        file = folder / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["--host", "127.0.0.1", "--port", str(port), "--scheduler-file", str(file)]
        self.scheduler = self._start("distributed.cli.dask_scheduler", *words)
        wait_for(file.is_file)
        self.address: str = json.loads(file.read_text())["address"]

    def worker(self, *first_on_path: Path, threads: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        words = [self.address, "--no-nanny", "--nthreads", str(threads), "--local-directory", str(self.folder)]
        paths = os.pathsep.join(map(str, (*first_on_path, HERE, *filter(None, sys.path))))
        return self._start("distributed.cli.dask_worker", *words, **{"PYTHONPATH": paths, **environment})

    def workers(self) -> int:
        """How many the scheduler knows."""
        with cluster_module.connected(self.address) as client:
            return len(client.sync(client.scheduler.identity)["workers"])

    def _start(self, module: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        # Away from the test's own folder: relative paths are the command's.
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", module, *words, "--no-dashboard"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **environment},
            )
        )
        log.close()
        return self.processes[-1]

    def end(self) -> None:
        """End all."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photos toy/, a segmentation network net/ and a box classifier classes/."""
    folder = tmp_path_factory.mktemp("photos")
    write_toy(folder / "toy", train=24, val=1, size=64, seed=5)
    network, _ = start_segmenter(Model(), len(CLASSES), 0)
    nn.init.orthogonal_(network.classifier.weight, generator=torch.Generator().manual_seed(1))
    for name, net, options in (
        ("net", network, Segment()),
        ("classes", start_classifier(Model(), len(CLASSES), 0)[0], Classify()),
    ):
        file = folder / name / "model.safetensors"
        save_network(file, net, classes=CLASSES, model=Model(), options=options)
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler with two workers, of two threads and of one."""
    cluster = Cluster(folder / "cluster")
    try:
        cluster.worker(threads=2)
        cluster.worker()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands name files as users do: by relative paths, which mean nothing to a worker."""
    monkeypatch.chdir(folder)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def command(words: str, cluster: Cluster | None = None) -> int:
    return execute([*words.split(), *([f"cluster={cluster.address}"] if cluster else [])])


def assert_same(one: Path, other: Path) -> None:
    """Whether two folders hold the same files with the same bytes, but for options and times."""
    names = [{str(file.relative_to(top)) for file in top.rglob("*") if file.is_file()} for top in (one, other)]
    assert names[0] == names[1]
    compared = [name for name in names[0] if Path(name).name not in FREE]
    assert compared
    assert filecmp.cmpfiles(one, other, compared, shallow=False)[1:] == ([], [])


def test_labels_are_those_of_one_process(
    cluster: Cluster, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the network that comes with boxseg; in another format, too, with corrections, and recorded alike."""
    dataset = load(Data(root=folder / "toy"))
    save_corrections(folder / "said.json", dataset, {"train_0001": {0: "ellipse"}, "train_0007": {0: "box"}})
    words = "label data.root=toy data.limit=8 label.formats=[coco] corrections=said.json"
    assert command(f"{words} out=label") == 0
    capsys.readouterr()
    assert command(f"{words} out=label-c", cluster) == 0
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith("label: 0 of 8")
    assert next(line for line in shown if line.startswith("label: 8 of 8")).endswith("· 2 workers")
    assert_same(folder / "label", folder / "label-c")
    lines = [
        sorted((folder / name / "provenance.jsonl").read_text().splitlines()) for name in ("label", "label-c")
    ]
    assert len(lines[0]) == 8
    assert lines[0] == lines[1]
    assert command(f"{words} out=label-c") == 0  # on this machine, which goes on with the same run
    assert "label: labels of 8 of 8 photos are there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (
            "evaluate instances=label data.root=label/masks.json data.images=../toy/JPEGImages baselines=true",
            True,
        ),
        ("label checkpoint=classes data.root=toy data.limit=8 label.instances=true crf=false", True),
        ("evaluate checkpoint=net data.root=toy data.split=train data.limit=8 tta=false crf=false", True),
        ("evaluate labels=toy/SegmentationClass data.root=toy data.split=train", True),
        ("predict checkpoint=net data.root=toy data.limit=8 tta=false crf=false", True),
        ("convert toy/SegmentationClass format=label-studio data.root=toy data.split=train", True),
        ("convert toy/SegmentationClass format=voc data.root=toy data.split=train objects=regions", True),
        ("doctor toy", False),
    ],
)
def test_other_verbs_do_the_same_on_a_cluster(
    words: str, files: bool, cluster: Cluster, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = words.split()[0]
    outs = [folder / "by" / place / verb for place in ("here", "there")]
    shown = []
    for out, where in zip(outs, (None, cluster), strict=True):
        shutil.rmtree(out, ignore_errors=True)
        given = f"{words} {out}" if verb == "convert" else f"{words} out={out}" if files else words
        assert command(given, where) == 0
        printed = capsys.readouterr()
        shown.append(printed.out.replace(str(out), "OUT"))
    assert "2 workers" in printed.err
    assert shown[0] == shown[1]
    if files:
        assert_same(*outs)


def test_each_worker_writes_shards_of_its_own(cluster: Cluster, folder: Path, tmp_path: Path) -> None:
    """Other verbs read them there, too."""
    pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    label = "label data.root=toy method=ellipse label.crf.iterations=1 scores=false"
    assert command(f"{label} out=in-files") == 0
    assert command(f"{label} store=shards out=in-shards", cluster) == 0
    files, shards = FileHome(folder / "in-files"), home_of(folder / "in-shards")
    dataset = load(Data(root=folder / "toy"))
    for kind in ("labels", "masks", "confidence", "reliable"):
        for sample in dataset.samples:
            assert shards.item(kind, sample.id).read_bytes() == files.item(kind, sample.id).read_bytes()
    lines = [(folder / name / "provenance.jsonl").read_text() for name in ("in-files", "in-shards")]
    assert sorted(lines[0].splitlines()) == sorted(lines[1].splitlines())
    assert len(list((folder / "in-shards" / "shards").glob("*.tar"))) > 1
    for words in ("evaluate data.root=toy data.split=train labels={} out={}", "convert {} {} format=coco"):
        outs = [tmp_path / words.split()[0] / name for name in ("in-files", "in-shards")]
        for out, where in zip(outs, (None, cluster), strict=True):
            assert command(words.format(out.name, out), where) == 0
        assert_same(*outs)


def test_a_worker_that_is_killed_and_one_that_comes(
    cluster: Cluster, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While both have begun: the chunk of the first is done again, and the third gets one, too."""
    with_pause(tmp_path, after=1)
    lost, left, stays = cluster.processes[1], cluster.processes[2], tmp_path / "pause"
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(command, label_paused(tmp_path / "there"), cluster)
        wait_for(lambda: all((stays / f"waits-{process.pid}").exists() for process in (lost, left)))
        lost.send_signal(signal.SIGKILL)
        new = cluster.worker()
        wait_for((stays / f"waits-{new.pid}").exists)
        (stays / "after").unlink()
        assert running.result(timeout=120) == 0
    said = capsys.readouterr().err
    assert said.count("is gone; others do photos") == 2  # a chunk for each thread
    assert command(label_paused(tmp_path / "here")) == 0
    assert_same(tmp_path / "here", tmp_path / "there")


def test_a_scheduler_that_is_lost(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says so and ends; given again, it does only what is left."""
    boxes = [len(sample.labels) for sample in load(Data(root=folder / "toy")).samples]
    with_pause(tmp_path, after=sum(boxes[:12]) + 1)  # in the second chunk of one worker
    first = Cluster(tmp_path / "cluster")
    try:
        worker = first.worker()
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(command, label_paused(tmp_path / "there"), first)
            wait_for((tmp_path / "pause" / f"waits-{worker.pid}").exists)
            first.scheduler.kill()
            assert running.result(timeout=60) == 2
    finally:
        first.end()
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == (
        f"boxseg: the scheduler at cluster={first.address} is gone: start it and its workers again, and give "
        "the same command again, which goes on where it stopped"
    )
    assert not any("distributed" in line or "Traceback" in line for line in said)
    (tmp_path / "pause" / "after").unlink()
    assert command(label_paused(tmp_path / "there")) == 0
    assert "label: labels of 12 of 24 photos are there already" in capsys.readouterr().err
    assert command(label_paused(tmp_path / "here")) == 0
    assert_same(tmp_path / "here", tmp_path / "there")


def test_workers_that_cannot_do_the_work_are_refused_with_the_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without boxseg, one with another version, one without the data; then with one that can."""
    for name, text in {
        "without": "raise ModuleNotFoundError(\"No module named 'boxseg'\", name='boxseg')",
        "older": "__version__ = '0.0.9'",
    }.items():
        write_text(tmp_path / name / "boxseg" / "__init__.py", text)
        shutil.copyfile(HERE / "beside_first.py", tmp_path / name / "sitecustomize.py")
    shutil.copyfile(HERE / "hidden_files.py", tmp_path / "sitecustomize.py")
    mend = f"install {__version__} there (pip install 'boxseg[dask]=={__version__}')"
    photo = folder / "toy/JPEGImages/train_0000.jpg"
    wrong = {
        f"it cannot import boxseg (No module named 'boxseg'): {mend}": ([tmp_path / "without"], {}),
        f"it has boxseg 0.0.9, this command {__version__}: {mend}": ([tmp_path / "older"], {}),
        f"it does not see {photo} (No such file or directory): mount that folder at the same path there": (
            [tmp_path],
            {"HIDDEN": str(folder)},
        ),
    }
    cluster = Cluster(tmp_path / "cluster")
    try:
        for why, (paths, environment) in wrong.items():
            worker = cluster.worker(*paths, **environment)
            wait_for(lambda: cluster.workers() == 1)
            assert command("doctor toy", cluster) == 2
            said = capsys.readouterr().err.splitlines()
            assert said[-1].startswith("boxseg: worker tcp://127.0.0.1:")
            assert said[-1].endswith(f": {why}")
            if why != list(wrong)[-1]:
                worker.kill()
                wait_for(lambda: cluster.workers() == 0)
        cluster.worker()
        wait_for(lambda: cluster.workers() == 2)
        assert command("doctor toy", cluster) == 0
        said = capsys.readouterr().err
        assert f"gets no photos: {why}" in said
        assert "1 worker" in said
    finally:
        cluster.end()


def test_nobody_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT", 0.5)
    monkeypatch.setattr(cluster_module, "WORKERS", 0.5)
    assert execute(["doctor", "toy", "cluster=tcp://127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("boxseg: cluster=tcp://127.0.0.1:9: no Dask scheduler answers there (")
    assert said.endswith("give the address that `dask scheduler` prints, such as tcp://host:8786\n")
    assert execute(["label", "data.root=toy", "out=x", "cluster=tcp://127.0.0.1:9", "devices=2"]) == 2
    assert "trainer.devices=2 is for this machine" in capsys.readouterr().err
    assert execute(["doctor", "toy", "cluster="]) == 2
    assert "cluster= is empty" in capsys.readouterr().err


def with_pause(folder: Path, after: int) -> None:
    """Have workers wait when they have made so many masks more."""
    (folder / "pause").mkdir()
    (folder / "pause" / "after").write_text(str(after))


def label_paused(out: Path) -> str:
    plugins.register("label_method", "paused", paused_method.start)
    return f"label data.root=toy method=paused scores=false out={out}"
