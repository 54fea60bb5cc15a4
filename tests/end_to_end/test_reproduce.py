"""Tables of the paper in miniature: shared steps, interruption, titles, columns, commands."""

from __future__ import annotations

import csv
import io
import json
import logging
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from boxseg import formats, options
from boxseg.cli import execute
from boxseg.config import Data, Model
from boxseg.formats.splits import Splits
from boxseg.formats.voc_server import check_results
from boxseg.stages import classify, label, segment
from boxseg.stages.reproduce.experiments import EXPERIMENTS, RowSource
from boxseg.stages.reproduce.paper_tables import read_row
from boxseg.stages.reproduce.published import Published
from boxseg.stages.reproduce.steps import Plan, Shared

RECIPE = ("-c", "voc_efficientnet_lite0", "model.weights=none", "data.split=train")


NETWORK = "efficientnet_lite0-seed0"


@dataclass(frozen=True, kw_only=True)
class Story:
    """Tables that were made in several goes.

    Attributes:
        out: Their folder.
        runs: By go, the trainings and labellings that really happened, named like their folders.
        printed: By go, what was printed.
        read: By go, the splits that were read.
    """

    out: Path
    runs: dict[str, list[str]] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    read: dict[str, list[str]] = field(default_factory=dict)


@contextmanager
def spied(seen: list[str], read: list[str], stop_at: str = "") -> Iterator[None]:
    """Write down what is trained, labelled and read; press Ctrl-C where a training of this name begins."""

    def spy(original: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            folder = getattr(args[0], "folder", None) or args[1].out  # of a labeller, or of a job
            name = folder.name.rpartition("-")[0]
            if name == stop_at:
                raise KeyboardInterrupt
            seen.append(name)
            return original(*args, **options)

        return called

    def reader(data: Data, boxes: bool) -> Any:
        read.append(data.split)
        return original_reader(data, boxes)

    original_reader = formats._load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "_load", reader)
        for module, name in ((classify, "train"), (segment, "train"), (label, "label_photos")):
            patch.setattr(module, name, spy(getattr(module, name)))
        yield


def of_paper(words: tuple[str, ...]) -> list[str]:
    """Without options of the mask network, which the paper's tables do not use."""
    return [word for word in words if not word.startswith("adapt.")]


@pytest.fixture(scope="module")
def story(toy: Path, miniature: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Two tables, the second interrupted; the numbers of so short trainings mean nothing."""
    story = Story(out=tmp_path_factory.mktemp("tables"))
    words = [*RECIPE, *of_paper(miniature), f"data={toy}", f"out={story.out}"]

    def go(name: str, table: str, *more: str, status: int = 0, stop_at: str = "") -> None:
        text, seen, read = io.StringIO(), list[str](), list[str]()
        with spied(seen, read, stop_at), redirect_stdout(text):
            assert execute(["reproduce", table, *words, *more]) == status
        story.read[name] = read
        story.runs[name], story.printed[name] = seen, " ".join(text.getvalue().split())

    go("labels", "pseudo-labels")
    go("second seed", "pseudo-labels", "seeds=[0, 1]")
    go("interrupted", "losses", status=130, stop_at=f"bs-{NETWORK}")
    (story.out / "losses.json").rename(story.out / "interrupted.json")
    go("listed", "losses", "dry_run=true")
    go("gone on", "losses")
    go("again", "losses")
    return story


def test_a_step_is_run_once_whichever_rows_and_tables_need_it(story: Story) -> None:
    steps = [
        f"gap-n4-{NETWORK}", f"val-attention-n1-gap-n4-{NETWORK}",
        f"bap-n4-{NETWORK}", f"val-activation-n1-bap-n4-{NETWORK}", f"val-attention-n1-bap-n4-{NETWORK}",
    ]  # fmt: skip
    assert story.runs["labels"] == steps
    assert story.runs["second seed"] == [step.replace("seed0", "seed1") for step in steps]
    assert story.runs["interrupted"][0] == f"train-attention-n1-bap-n4-{NETWORK}"
    assert story.runs["again"] == []


def test_a_split_is_read_once_for_all_steps(story: Story) -> None:
    assert all(sorted(read) == ["train", "val"] for read in story.read.values())


def test_an_interrupted_table_holds_what_is_done_and_goes_on_there(story: Story) -> None:
    assert story.runs["interrupted"][1:] == [f"baseline-{NETWORK}", f"er-{NETWORK}"]
    rows = json.loads((story.out / "interrupted.json").read_text())["rows"]
    assert [bool(row["ours"][0]) for row in rows] == [True, True, False, False]
    assert "10 steps, 4 to run" in story.printed["listed"]
    assert f"9 segment nal-{NETWORK} to run" in story.printed["listed"]
    assert f"5 segment er-{NETWORK} done" in story.printed["listed"]
    assert story.runs["listed"] == []
    assert story.runs["gone on"] == [f"bs-{NETWORK}", f"nal-{NETWORK}"]


@pytest.fixture
def tables(story: Story) -> Path:
    return story.out


@pytest.mark.parametrize("table", ["pseudo-labels", "losses"])
def test_files_hold_authors_reproduction_and_ours(tables: Path, table: str) -> None:
    content = json.loads((tables / f"{table}.json").read_text())
    text = (tables / f"{table}.md").read_text()
    title = content["title"]
    assert title.startswith(
        f"{table}: 4 photos of val, trained on 10 of train, 5 classes, efficientnet_lite0, 2"
    )
    assert title.endswith("NOT the paper's data, network, schedule or options")
    assert text.startswith(f"**{title}**\n")
    assert "| authors | reproduction | ours |" in text
    seeds = content["seeds"]
    assert seeds == ([0, 1] if table == "pseudo-labels" else [0])
    assert ("Mean ± standard deviation over the seeds 0, 1" in text) == (len(seeds) == 2)
    assert "10 photos to train on, the paper 10,582" in text
    assert "classify.augment.crop=65, the paper 321" in text
    assert [row["row"] for row in content["rows"]] == list(EXPERIMENTS[table].published)
    with (tables / f"{table}.csv").open() as file:
        lines = list(csv.DictReader(file))
    numbers = [values for row in content["rows"] for values in row["ours"]]
    assert len(lines) == len(numbers)
    commands = [row["commands"] for row in content["rows"] for _ in row["ours"]]
    assert all(commands)
    for line, values, chain in zip(lines, numbers, commands, strict=True):
        assert line["setting"] == title
        assert line["weights"] == content["weights"]
        assert line["commands"].split(" && ") == chain
        assert len(values) == len(seeds) == int(line["seeds"])
        assert float(line["ours"]) == pytest.approx(sum(values) / len(seeds), abs=1e-3)
        spread = abs(values[0] - values[-1]) / 2**0.5
        assert float(line["spread"] or 0) == pytest.approx(spread, abs=1e-3)


def test_what_the_networks_start_from_is_printed_and_in_every_file(story: Story) -> None:
    for table, go in (("pseudo-labels", "labels"), ("losses", "again")):
        weights = "classifier efficientnet_lite0: none"
        weights += "; network efficientnet_lite0: none" if table == "losses" else ""
        assert json.loads((story.out / f"{table}.json").read_text())["weights"] == weights
        assert f"{table}: Weights: {weights}." in story.printed[go]
        assert "- classifier: efficientnet_lite0, weights none\n" in (story.out / f"{table}.md").read_text()


def test_the_row_of_agreement_says_what_was_scored(tables: Path) -> None:
    assert "Y_crf & Y_ret: scored on the pixels where Y_crf = Y_ret and only there" in (
        tables / "pseudo-labels.md"
    ).read_text().replace("BAP, ", "")


@pytest.mark.parametrize(("table", "row", "path"), [
    ("pseudo-labels", "GAP", "y_crf.miou"),
    ("pseudo-labels", "BAP, Y_crf & Y_ret", "reliable_region_only.miou"),
    ("losses", "NAL", "after_crf.miou"),
])  # fmt: skip
def test_the_commands_of_a_row_give_its_number_by_themselves(
    tables: Path, tmp_path: Path, table: str, row: str, path: str
) -> None:
    content = json.loads((tables / f"{table}.json").read_text())
    found = next(item for item in content["rows"] if item["row"] == row)
    first = [command for command in found["commands"] if "seed1" not in command]
    for command in first:
        words = shlex.split(command.replace(str(tables), str(tmp_path)))
        assert words[0] == "boxseg"
        assert execute(words[1:]) == 0
    out = next(word.partition("=")[2] for word in words if word.startswith("out="))
    scores = json.loads((Path(out) / "metrics.json").read_text())
    for key in path.split("."):
        scores = scores[key]
    assert 100 * scores == found["ours"][-1][0]


def test_a_row_that_fails_is_named_and_the_others_go_on(
    toy: Path, miniature: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(logging.getLogger("boxseg"), "handlers", [caplog.handler])
    words = [*RECIPE, *of_paper(miniature), f"data={toy}", f"out={tmp_path}"]
    other = ["classifier=vgg16", "classifier_weights=nowhere.pth"]
    assert execute(["reproduce", "final-vgg", *words, *other]) == 1
    errors = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
    assert len(errors) == 1
    assert "for final-vgg: Y_crf; final-vgg: Y_ret; final-vgg: NAL: no weight file nowhere" in errors.pop()
    rows = {item["row"]: item for item in json.loads((tmp_path / "final-vgg.json").read_text())["rows"]}
    assert "nowhere.pth" in rows["NAL"]["remark"]
    assert "VOC's 20 classes only" in rows["NAL (test)"]["remark"]


def test_the_classifier_has_the_options_of_its_network_but_for_those_of_segmentation(toy: Path) -> None:
    def model(table: str, *words: str) -> Model:
        given = [table, f"data={toy}", "model.batch_norm=train", *words]
        job: Any = options.build_job("reproduce", options.parse_words(given, "reproduce"))
        own = EXPERIMENTS[table].backbone == "vgg16"
        return Plan(job, own_classifier=own, shared=Shared()).classifier_model

    vgg = Model(backbone="vgg16", weights="w.pth", fully_connected="fresh", batch_norm="train")
    words = ("model.weights=w.pth", "model.fully_connected=fresh", "model.temperature=10")
    assert model("final-vgg", *words) == vgg
    other = Model(backbone="vgg16", weights="v.pth", batch_norm="train")
    assert model("final-resnet", *words, "classifier_weights=v.pth") == other
    assert model("final-resnet", "classifier=resnet101").backbone == "resnet101"
    assert model("pseudo-labels", "-c", "voc_resnet101").backbone == "resnet101"


def test_listing_the_steps_writes_nothing(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert execute(["reproduce", "all", f"data={toy}", "data.split=train", f"out={out}", "dry_run=true"]) == 0
    printed = capsys.readouterr().out
    assert "42 steps, 42 to run" in printed
    assert printed.count("boxseg classify ") == 6
    assert printed.count("model.backbone=resnet101") == 3  # its labels come from vgg16
    assert not out.exists()


def test_the_test_split_of_voc_becomes_an_archive(
    shared_data: Path, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    voc, root = shared_data / "voc2012" / "VOCdevkit" / "VOC2012", tmp_path / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name in ("JPEGImages", "Annotations", "SegmentationClassAug"):
        (root / name).symlink_to(voc / name)
    for split in ("train", "val"):
        (lists / f"{split}.txt").symlink_to(voc / "ImageSets" / "Segmentation" / f"{split}.txt")
    words = ["final-vgg", *RECIPE, *of_paper(miniature), f"data={root}", "limit=2", f"out={tmp_path}/out"]

    def row() -> RowSource:
        job: Any = options.build_job("reproduce", options.parse_words(words, "reproduce"))
        plan = Plan(job, own_classifier=True, shared=Shared())
        return EXPERIMENTS["final-vgg"].rows(plan, 0)["NAL (test)"]

    assert "no photos of VOC's test split" in row().why_not
    (lists / "test.txt").write_text("2007_000033\n2007_000042\n")
    source = row()
    assert source.step is not None
    assert "submission=voc2012" in source.step.command
    for step in source.step.chain():
        assert not step.done
        step.run(Splits())
        assert step.done
    assert check_results(source.step.files.whole[0], root) == []
    row_of_table = read_row("NAL (test)", Published(), [source], 1, [])
    assert (row_of_table.instead, row_of_table.ours) == ("archive", ((),))
    assert str(source.step.files.whole[0]) in row_of_table.remark


def test_coco_is_labelled_by_the_classifier_of_voc(
    shared_data: Path, miniature: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (f"data={shared_data}/voc2012", "data.limit=2", f"out={tmp_path}")
    assert execute(["reproduce", "coco", *RECIPE, *of_paper(miniature), *data]) == 2
    assert "the table coco needs coco=DIR" in capsys.readouterr().err
    assert execute(["reproduce", "coco", *RECIPE, *of_paper(miniature), *data, f"coco={shared_data}/coco"]) == 0
    printed = capsys.readouterr().out
    assert "2 photos of train2017, trained on 2 of train, 20 classes" in printed
    assert "2 photos scored, the paper 118,287" in printed
    content = json.loads((tmp_path / "coco.json").read_text())
    metrics = json.loads(next((tmp_path / "label").glob("*/metrics.json")).read_text())["instances"]
    for row, source in zip(content["rows"], ("y_crf", "y_ret"), strict=True):
        names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
        expected = [[] if metrics[source][name] is None else [100 * metrics[source][name]] for name in names]
        assert row["ours"] == expected
    assert "| Y_ret: AP50 | 30.1 | 20.2 |" in (tmp_path / "coco.md").read_text()
