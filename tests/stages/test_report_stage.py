"""What the report collects from a run folder, beside slow counts from the files."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg.atomic import write_json, write_text
from boxseg.cli import execute
from boxseg.config import Data, Report
from boxseg.data.toy import write_toy
from boxseg.errors import BoxsegError
from boxseg.formats.splits import Splits
from boxseg.jobs import AdaptJob, ClassifyJob, SegmentJob
from boxseg.options import to_yaml
from boxseg.reporting.gallery import make_galleries
from boxseg.reporting.parts import read_parts
from boxseg.scoring.doubtful_masks import RULE
from report_runs import write_doubted, write_labels, write_run, write_yolo


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder, train=12, val=6, size=64, seed=2)
    return folder


@pytest.fixture(scope="module")
def run_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, root)
    return folder


def page(folder: Path, **options: Any) -> str:
    """The text of the report of a folder."""
    done = boxseg.report(run=folder, **options)
    return unescape(done.file.read_text(encoding="utf-8"))


def index(folder: Path) -> dict[str, Any]:
    text = (folder / "report.html").read_text(encoding="utf-8")
    content = text.split('<script type="application/json" id="index">')[1].split("</script>")[0]
    result: dict[str, Any] = json.loads(content)
    return result


def test_agreement_and_iou_of_each_photo_are_those_of_its_files(root: Path, run_folder: Path) -> None:
    page(run_folder)
    photos = index(run_folder)["photos"]
    assert [photo["id"] for photo in photos] == [f"train_{n:04d}" for n in range(12)] + [
        f"val_{n:04d}" for n in range(6)
    ]
    for photo in photos[:12]:
        files = [run_folder / "label" / kind / f"{photo['id']}.png" for kind in ("y_crf", "y_ret")]
        crf, ret = (np.asarray(Image.open(file)).ravel().tolist() for file in files)
        truth = np.asarray(Image.open(root / "SegmentationClass" / f"{photo['id']}.png"))
        inside = np.zeros(truth.shape, dtype=bool)
        for x1, y1, x2, y2, _ in photo["boxes"]:
            inside[round(y1) : round(y2), round(x1) : round(x2)] = True
        flat, boxed = truth.ravel().tolist(), inside.ravel().tolist()
        same = [a == b for a, b in zip(crf, ret, strict=True) if a != 255]
        same_in_boxes = [a == b for a, b, i in zip(crf, ret, boxed, strict=True) if a != 255 and i]
        assert photo["agreement"] == pytest.approx(
            [sum(same) / len(same), sum(same_in_boxes) / len(same_in_boxes)]
        )
        for layer, labels in (("y_crf", crf), ("y_ret", ret)):
            pairs = [(label, t) for label, t in zip(labels, flat, strict=True) if t != 255]
            expected = {}
            for c in range(6):
                union = sum(c in pair for pair in pairs)
                if union:
                    expected[str(c)] = sum(pair == (c, c) for pair in pairs) / union
            expected["mean"] = sum(expected.values()) / len(expected)
            assert photo["iou"][layer] == pytest.approx(expected, abs=1e-4)
        assert photo["classes"] == sorted({*(b[4] for b in photo["boxes"]), *set(flat) - {0, 255}})
    assert all(set(photo["iou"]) == {"prediction"} and not photo["agreement"] for photo in photos[12:])


def test_a_run_shows_scores_curves_confusions_and_photos(run_folder: Path) -> None:
    text = page(run_folder)
    metrics = json.loads((run_folder / "label" / "metrics.json").read_text())
    assert f"{100 * metrics['y_crf']['miou']:.1f}" in text
    assert f"{100 * metrics['whole_box']['miou']:.1f}" in text
    for words in (
        "Stage 1: box classifier",
        "Stage 3: segmentation network",
        "59 iterations",
        "labels by CRF (Y_crf), train",
    ):
        assert words in text
    assert "12 of 12 photos of train" in text
    # Its own metrics.json has no confusions: those of the photos that are shown stand in.
    assert "prediction, photos of val shown here" in text
    assert [layer["key"] for layer in index(run_folder)["layers"]] == [
        "photo", "boxes", "y_crf", "y_ret", "reliable", "prediction", "ground_truth",
    ]  # fmt: skip


def test_what_evaluate_left_in_a_run_is_shown_after_its_own_scores(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    scores = json.loads((folder / "segment" / "metrics.json").read_text())
    own = scores["after_crf"]["miou"]
    scores |= {"split": "holiday", "after_crf": scores["after_crf"] | {"miou": 0.12345}}
    (folder / "segment" / "evaluate-holiday").mkdir()
    (folder / "segment" / "evaluate-holiday" / "metrics.json").write_text(json.dumps(scores))
    text = page(folder)
    assert "network + CRF, holiday (evaluate)" in text
    assert "12.3" in text
    place = text.index("mIoU of the network + CRF")
    assert f"{100 * own:.1f}" in text[place - 300 : place + 300]  # the headline is the run's own


def test_stored_confusions_are_those_of_all_photos(run_folder: Path) -> None:
    stored = json.loads((run_folder / "label" / "confusion.json").read_text())
    truths = sum(np.array(stored["counts"]["y_crf"]).sum(1))
    assert truths == np.array(stored["counts"]["whole_box"]).sum()
    parts = read_parts(run_folder, None, Splits())
    [shown] = make_galleries(parts, Report(max_photos=18), run_folder / "none", parts.network())
    np.testing.assert_array_equal(shown.confusion["train", "y_crf"].counts, stored["counts"]["y_crf"])


def test_fewer_photos_are_drawn_evenly_from_both_splits(run_folder: Path, tmp_path: Path) -> None:
    text = page(run_folder, max_photos=7, out=tmp_path / "report.html")
    photos = index(tmp_path)["photos"]
    assert [photo["id"] for photo in photos] == [
        "train_0000", "train_0004", "train_0007", "train_0011", "val_0000", "val_0002", "val_0005",
    ]  # fmt: skip
    assert "4 of 12 photos of train, 3 of 6 photos of val: evenly drawn, max_photos=… shows more" in text
    assert "The gallery needs JavaScript" not in page(run_folder, max_photos=0, out=tmp_path / "none.html")


def test_pages_hold_the_photos_of_one_page_and_sums_of_all(run_folder: Path, tmp_path: Path) -> None:
    page(run_folder, max_photos=18, out=tmp_path / "whole" / "report.html")
    whole = (tmp_path / "whole" / "report.html").read_text(encoding="utf-8")
    boxseg.report(run=run_folder, out=tmp_path / "report.html", max_photos=18, per_page=5, originals=True)
    files = [tmp_path / "report.html", *sorted((tmp_path / "report-files").glob("page-*.html"))]
    assert [file.name for file in files] == ["report.html", *(f"page-000{number}.html" for number in (2, 3, 4))]
    texts = [file.read_text(encoding="utf-8") for file in files]
    shown = [json.loads(re.findall('id="index">(.*?)</script>', text)[0])["photos"] for text in texts]
    assert [len(photos) for photos in shown] == [5, 5, 5, 3]
    assert [photo["id"] for photos in shown for photo in photos] == [
        photo["id"] for photo in index(tmp_path / "whole")["photos"]
    ]
    assert "Photos 6 to 10 of 18." in texts[1]
    # What is counted of photos is of all of them.
    matrices = [re.findall(r'<svg class="matrix.*?</svg>', text, re.DOTALL) for text in (whole, *texts)]
    assert matrices[0] == matrices[1] != []
    assert matrices[2:] == [[], [], []]
    for file, text in zip(files, texts, strict=True):
        links = re.findall(r'<a href="([^"#]+\.html)#photos">', text)
        assert len(links) >= 2
        originals = map(json.loads, re.findall(r'"originals": ({[^}]*})', text))
        pictures = [name for found in originals for name in found.values()]
        assert pictures
        assert all((file.parent / name).is_file() for name in links + pictures)
    boxseg.report(run=run_folder, out=tmp_path / "report.html", max_photos=10, per_page=5)
    assert [file.name for file in (tmp_path / "report-files").glob("page-*.html")] == ["page-0002.html"]
    boxseg.report(run=run_folder, out=tmp_path / "report.html", max_photos=5, per_page=5)
    assert not list((tmp_path / "report-files").glob("page-*.html"))
    assert "Page 1 of" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_labels_alone_make_a_report(root: Path, tmp_path: Path) -> None:
    write_labels(tmp_path, root)
    text = page(tmp_path)
    assert "No segmentation network: this folder is of boxseg label" in text
    assert 'id="training"' not in text
    # Older runs stored no confusions.
    (tmp_path / "confusion.json").unlink()
    assert "labels by CRF (Y_crf), photos of train shown here" in page(tmp_path)


def test_labels_without_a_second_label_are_shown_with_what_is_reliable_of_them(
    root: Path, tmp_path: Path
) -> None:
    """As every method but a classifier's leaves them; of two such folders each is shown once."""
    for name in ("a", "b"):
        write_labels(tmp_path / name, root, pair=False)
    text = page(tmp_path / "a")
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    for score in (metrics["labels"]["miou"], metrics["reliable_region_only"]["miou"]):
        assert f"{100 * score:.1f}" in text
    assert "mIoU of the labels" in text
    assert "Y_crf" not in text.partition("<style>")[0] + text.partition("</style>")[2].partition("<script")[0]
    found = index(tmp_path / "a")
    keys = [layer["key"] for layer in found["layers"]]
    assert keys == ["photo", "boxes", "labels", "reliable", "ground_truth"]
    for photo in found["photos"]:
        files = [tmp_path / "a" / kind / f"{photo['id']}.png" for kind in ("labels", "reliable")]
        labels, sure = (np.asarray(Image.open(file)).ravel().tolist() for file in files)
        counted = [level == 255 for label, level in zip(labels, sure, strict=True) if label != 255]
        assert photo["agreement"][0] == pytest.approx(sum(counted) / len(counted))
        assert set(photo["iou"]) == {"labels"}

    sources = [str(tmp_path / name) for name in ("a", "b")]
    job = SegmentJob(labels=sources, data=Data(root=root, val_split=""), out=tmp_path / "s")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "config.yaml").write_text(to_yaml(job))
    page(tmp_path / "s")
    layers = {layer["key"]: layer["name"] for layer in index(tmp_path / "s")["layers"]}
    assert list(layers)[:2] == ["photo", "boxes"]
    shown = {key: name for key, name in layers.items() if key.startswith("labels")}
    assert list(shown.values()) == ["a/labels", "b/labels"]
    assert set(layers) == {"photo", "boxes", *shown, "reliable", "ground_truth"}
    assert all(set(photo["iou"]) == set(shown) for photo in index(tmp_path / "s")["photos"])


def test_yolo_without_ground_truth_and_with_hostile_names(tmp_path: Path) -> None:
    names = ("</script><b>cat", 'x" onload="alert(1)')
    write_yolo(tmp_path / "data", names)
    write_labels(tmp_path / "run", tmp_path / "data", scored=False)
    done = boxseg.report(run=tmp_path / "run", originals=True)
    assert any("No ground-truth masks for split train" in line for line in done.missing)
    found = index(tmp_path / "run")
    assert [item["name"] for item in found["classes"]] == ["background", *names]
    assert [photo["id"] for photo in found["photos"]] == [f"photo {n} #1" for n in range(3)]
    assert all(photo["iou"] == {} for photo in found["photos"])
    files = sorted(file.name for file in (tmp_path / "run" / "report-files").iterdir())
    assert files[:4] == ["00000-photo.jpg", "00000-reliable.png", "00000-y_crf.png", "00000-y_ret.png"]
    assert len(files) == 12


@pytest.mark.parametrize("spoil", ["label/metrics.json", "label/confusion.json", "classify/history.csv"])
def test_a_damaged_file_is_left_out(spoil: str, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / spoil).write_text("iteration,loss\n{")
    assert 'id="photos"' in page(tmp_path / "run")


def test_unreadable_masks_and_photos_are_named(root: Path, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "data")
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / "label" / "y_crf" / "train_0001.png").write_bytes(b"no image")
    Image.new("P", (3, 3)).save(tmp_path / "run" / "label" / "y_ret" / "train_0002.png")
    photo = tmp_path / "data" / "JPEGImages" / "train_0003.jpg"
    photo.write_bytes(photo.read_bytes()[:-300])
    done = boxseg.report(run=tmp_path / "run", data=tmp_path / "data")
    missing = "\n".join(done.missing)
    for name in ("train_0001", "train_0002", "train_0003"):
        assert name in missing
    assert "11 of 12 photos of train" in page(tmp_path / "run", data=tmp_path / "data")
    by_name = {item["id"]: item for item in index(tmp_path / "run")["photos"]}
    assert "train_0003" not in by_name
    assert set(by_name["train_0001"]["iou"]) == {"y_ret"}
    assert by_name["train_0002"]["agreement"] is None


def test_scores_are_shown_where_the_data_set_has_gone(root: Path, run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "data")
    write_labels(tmp_path / "run", tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    text = page(tmp_path / "run")
    assert "boxseg report RUN data=DIR" in text
    assert "IoU of every class" in text
    assert 'id="photos"' not in text
    assert "12 of 12 photos of train" in page(tmp_path / "run", data=tmp_path / "elsewhere")


def test_a_classifier_and_a_network_alone_make_reports(root: Path, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.yaml").write_text(to_yaml(ClassifyJob(data=Data(root=root), out=tmp_path / "c")))
    assert "Only a box classifier" in page(tmp_path / "c")
    shutil.copytree(run_folder / "segment", tmp_path / "s")
    job = SegmentJob(labels=str(tmp_path / "l"), data=Data(root=root), out=tmp_path / "s")
    (tmp_path / "s" / "config.yaml").write_text(to_yaml(job))
    assert "not trained to the end" in page(tmp_path / "s")
    write_labels(tmp_path / "l", root)
    page(tmp_path / "s")
    assert "y_crf" in index(tmp_path / "s")["photos"][0]["iou"]


def test_what_is_no_run_is_an_error(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["report", str(run_folder.with_name(run_folder.name + "x"))]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert execute(["report", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("images: photos\ncheckpoint: c\n")
    with pytest.raises(BoxsegError, match="nothing to show"):
        boxseg.report(run=tmp_path)
    with pytest.raises(BoxsegError, match="is a folder"):
        boxseg.report(run=run_folder, out=tmp_path)
    with pytest.raises(BoxsegError, match=r"report.size must be"):
        boxseg.report(run=run_folder, size=3)


@pytest.fixture
def doubted(tmp_path: Path) -> Path:
    write_doubted(tmp_path)
    return tmp_path / "run"


def test_masks_most_likely_wrong_are_badged_and_come_first(doubted: Path) -> None:
    page(doubted)
    photos = {photo["id"]: photo for photo in index(doubted)["photos"]}
    assert {name: photo["badge"] for name, photo in photos.items()} == {
        "photo_00": "1 of 21 masks to look at",
        "photo_01": "17 of 21 masks to look at",
        "photo_02": "",
        "photo_03": "",
        "photo_04": "1 of 2 masks to look at",
        "photo_05": "",
    }
    first = sorted((p for p in photos.values() if p["look"] is not None), key=lambda photo: photo["look"])
    assert [photo["id"] for photo in first] == ["photo_01", "photo_00", "photo_04", "photo_05", "photo_02"]
    assert photos["photo_03"]["look"] is None  # without a box
    reasons = {name: [mark["reason"] for mark in photo["marks"]] for name, photo in photos.items()}
    assert reasons["photo_00"] == ["unsure", *[""] * 20]
    assert reasons["photo_01"] == [*["fallback"] * 16, *[""] * 4, "tiny"]
    assert reasons["photo_04"] == ["", "fills box"]
    assert photos["photo_04"]["marks"][1]["score"] == 0.8
    assert photos["photo_04"]["marks"][1]["note"] == "score 0.80, fills 100 % of its box, by network"
    # The upper half of the first box, whose pixels are 15 to 45 in both directions.
    assert photos["photo_05"]["marks"][0]["outline"] == "M15 15 45 15 45 30 15 30Z"


def test_the_counts_of_masks_are_a_table_by_size(doubted: Path) -> None:
    text = page(doubted)
    table = text.split('<section id="masks">')[1].split("</section>")[0]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    assert rows[0] == [
        "boxes",
        "masks",
        "fallback",
        "below 10 %",
        "above 95 %",
        "score below 0.7",
        "to look at",
    ]
    assert rows[1] == ["all", "47", "16", "1", "1", "1", "19"]
    assert rows[2] == ["small", "47", "16", "1", "1", "1", "19"]
    assert rows[4] == ["large", "0", "0", "0", "0", "0", "0"]
    assert RULE in table
    (doubted / "mask-counts.json").write_text("{}}", encoding="utf-8")
    assert 'id="masks"' not in page(doubted)


def test_photos_whose_masks_cannot_be_read_are_named_and_shown_without(doubted: Path) -> None:
    for name, content in (("photo_00", "["), ("photo_01", "[]")):
        (doubted / "masks" / f"{name}.json").write_text(content, encoding="utf-8")
    (doubted / "masks" / "photo_02.json").unlink()
    entries = json.loads((doubted / "masks" / "photo_04.json").read_text(encoding="utf-8"))
    entries[0]["segmentation"]["counts"] = ""
    (doubted / "masks" / "photo_04.json").write_text(json.dumps(entries), encoding="utf-8")
    done = boxseg.report(run=doubted)
    missing = "\n".join(done.missing)
    assert all(f"{name}.json" in missing for name in ("photo_00", "photo_01", "photo_04"))
    assert "photo_02" not in missing
    marks = [photo["marks"] for photo in index(doubted)["photos"]]
    assert [part is None for part in marks] == [True, True, True, False, True, False]


def write_adapted(folder: Path, root: Path) -> None:
    """A folder as `boxseg adapt` leaves it, without its network."""
    write_text(folder / "config.yaml", to_yaml(AdaptJob(data=Data(root=root), out=folder)))
    write_text(folder / "history.csv", "iteration,loss,lr\n1,0.5,0.1\n2,0.25,0.1\n")
    before = {"boxes": 30, "projection": 0.8125, "views": 0.75, "empty": 2}
    write_json(
        folder / "metrics.json", {"before": before, "after": {**before, "projection": 0.9375, "empty": 0}}
    )


def test_a_mask_network_alone_and_in_a_run(root: Path, run_folder: Path, tmp_path: Path) -> None:
    write_adapted(tmp_path / "a", root)
    shutil.copytree(run_folder, tmp_path / "run")
    write_adapted(tmp_path / "run" / "adapt", root)
    for folder in (tmp_path / "a", tmp_path / "run"):
        text = page(folder)
        assert "Mask network" in text
        assert "2 iterations; loss 0.5 → 0.25" in text
        rows = text.split("Masks on held-out boxes")[1].split("</table>")[0]
        assert re.findall(r">([^<>\n]+)</t[hd]>", rows) == [
            "mask network", "boxes", "projection", "views", "empty",
            "before", "30", "81.2", "75.0", "2",
            "after", "30", "93.8", "75.0", "0",
        ]  # fmt: skip
    assert "Only a mask network" in page(tmp_path / "a")
    alone = index(tmp_path / "a")
    assert [layer["key"] for layer in alone["layers"]] == ["photo", "boxes", "ground_truth"]
    assert len(alone["photos"]) == 12
    (tmp_path / "a" / "metrics.json").write_text('{"before": {"boxes": 3}, "after": 4}')
    assert "held-out" not in page(tmp_path / "a")
