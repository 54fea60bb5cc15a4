"""Every way from boxes to labels: the same folder, scores and resuming, and what each must say of a photo."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

import boxseg
from boxseg import extras, formats
from boxseg.cli import execute
from boxseg.config import Data, Label, TrainerOptions
from boxseg.data.box_masks import grabcut_mask
from boxseg.data.geometry import whole_box_labels
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import BoxsegError, CheckpointError, ConfigError, MissingExtraError
from boxseg.formats.coco_results import decode_window
from boxseg.formats.images import read_image
from boxseg.formats.masks import read_mask
from boxseg.inference.mask_networks import shipped_weights
from boxseg.jobs import LabelJob
from boxseg.labelling.from_classifier import FromClassifier, background_of
from boxseg.labelling.from_network import FromNetwork
from boxseg.labelling.methods import METHODS, start_method
from boxseg.nn.checkpoint import save as save_checkpoint
from boxseg.runs.layout import label_path, map_paths
from tiny_sam import SIDE, write_sam

CLASSIFY = ("classify.iterations=1", "classify.batch=2", "crop=33", "model.weights=none", "workers=0")
METHODS_WITHOUT_CLASSIFIER = ("network", "box", "ellipse", "grabcut", "sam")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder, train=4, val=1, size=64, seed=5)
    return folder


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    write_sam(folder, "sam")
    return folder


def words_of(method: str, request: pytest.FixtureRequest) -> list[str]:
    """Options of a method; skips where its package is not installed."""
    if method == "grabcut":
        pytest.importorskip("cv2")
    more = [f"sam={request.getfixturevalue('sam_folder')}"] if method == "sam" else []
    return [f"method={method}", *more]


# ---- what all have in common ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS_WITHOUT_CLASSIFIER)
def test_a_method_without_a_classifier_goes_through_all_that_is_done_with_labels(
    method: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "l"
    words = ["label", *words_of(method, request), f"data={root}", f"out={out}", "instances=true", "workers=0"]
    assert execute(words) == 0
    assert "whole box" in capsys.readouterr().out
    entries = json.loads((out / "labelmap.json").read_text())
    assert "classifier_class" not in entries[1]
    assert not [path.name for path in out.iterdir() if path.name.startswith(("y_", "instances"))]
    dataset = formats.load(Data(root=root))
    masks = json.loads((out / "masks.json").read_text())["annotations"]
    boxes = [box.tolist() for sample in dataset.samples for box in sample.boxes]
    assert [[x, y, x + w, y + h] for x, y, w, h in (mask["bbox"] for mask in masks)] == boxes
    assert {mask["source"] for mask in masks} <= {method, "fallback"}
    assert all(mask["area"] == decode_window(mask["segmentation"])[0].sum() > 0 for mask in masks)
    for sample in dataset.samples:
        allowed = {0, *sample.labels.tolist()}
        boxed = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width) > 0
        labels = read_mask(label_path(out, sample))
        assert set(np.unique(labels).tolist()) <= allowed
        assert not labels[~boxed].any()
        levels = [np.asarray(Image.open(path)) for path in map_paths(out, sample)]
        assert all(level.shape == labels.shape for level in levels)
        assert set(np.unique(levels[1]).tolist()) <= {0, 255}

    before = {file: file.read_bytes() for file in out.rglob("*") if file.suffix in (".png", ".json")}
    assert len(before) > 4 * len(dataset)
    label_path(out, dataset.samples[1]).unlink()
    assert execute(words) == 0
    assert "1 written, 3 there already" in capsys.readouterr().out
    assert {file: file.read_bytes() for file in before} == before
    assert execute([*words, "crf.iterations=1"]) == 2
    assert "other options" in capsys.readouterr().err

    scored = boxseg.evaluate(labels=out, data=root, out=tmp_path / "e").scores
    recorded = json.loads((out / "metrics.json").read_text())
    assert list(scored.labels) == ["labels"]
    assert scored.labels["labels"].miou == recorded["labels"]["miou"]
    assert scored.reliable.miou == recorded["reliable_region_only"]["miou"]
    assert scored.reliable_fraction == recorded["reliable_fraction"]
    assert boxseg.report(run=out).photos == 4


@pytest.mark.parametrize("method", ["grabcut", "sam"])
def test_threads_do_not_change_the_labels(
    method: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = torch.get_num_threads()
    contents = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = tmp_path / str(threads)
            words = ["label", *words_of(method, request), f"data={root}", f"out={out}", "crf=false"]
            assert execute([*words, "workers=0"]) == 0
            files = [*sorted(out.glob("labels/*.png")), out / "masks.json"]
            contents.append([file.read_bytes() for file in files])
    finally:
        torch.set_num_threads(before)
    assert len(contents[0]) == 5
    assert contents[0] == contents[1]


def test_labels_are_reliable_where_the_crf_leaves_them_and_it_may_be_off(root: Path, tmp_path: Path) -> None:
    on = boxseg.label(method="box", data=root, out=tmp_path / "on", workers=0).scores
    assert on.labels["labels"].miou > on.whole_box.miou + 0.03
    off = boxseg.label(method="box", data=root, out=tmp_path / "off", crf=False, workers=0).scores
    assert off.labels["labels"].miou == off.whole_box.miou
    assert off.reliable_fraction == 1
    for sample in formats.load(Data(root=root)).samples:
        whole = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
        np.testing.assert_array_equal(read_mask(label_path(tmp_path / "off", sample)), whole)
        refined = read_mask(label_path(tmp_path / "on", sample))
        reliable = np.asarray(Image.open(map_paths(tmp_path / "on", sample)[1]))
        np.testing.assert_array_equal(reliable == 255, refined == whole)
    # The mask of a box does not hang on the CRF.
    files = [tmp_path / name / "masks.json" for name in ("on", "off")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_labels_of_two_methods_train_a_network(root: Path, tmp_path: Path) -> None:
    for method in ("box", "ellipse"):
        boxseg.label(method=method, data=root, out=tmp_path / method, workers=0)
    small = {"iterations": 1, "batch": 2, "crop": 33, "weights": "none", "workers": 0}
    trained = boxseg.segment(
        labels=[str(tmp_path / "box"), str(tmp_path / "ellipse" / "labels"), "ground-truth"],
        data={"root": root, "val_split": ""}, out=tmp_path / "s", **small,
    )  # fmt: skip
    assert trained.checkpoint.is_file()


def test_a_run_trains_no_classifier_that_nothing_needs(root: Path, tmp_path: Path) -> None:
    words = ["run", "method=box", f"data={root}", f"out={tmp_path}/r", *CLASSIFY[3:], "segment.iterations=1"]
    assert execute([*words, "segment.batch=2", "segment.augment.crop=33", "tta=false"]) == 0
    assert not (tmp_path / "r" / "classify").exists()
    assert (tmp_path / "r" / "sheet.png").is_file()
    assert (tmp_path / "r" / "report.html").is_file()


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("label", {"method": "bap"}, r"label\.method=bap needs checkpoint="),
        ("label", {"method": "gap"}, r"label\.method=gap needs checkpoint=.*default method needs none"),
        ("label", {"method": "sam"}, r"needs label\.sam="),
        ("label", {"method": "crf"}, r"unknown label\.method=crf .*one of .*grabcut"),
        ("reproduce", {"table": "grid", "method": "box"}, r"label\.method=box: the paper's tables"),
    ],
)
def test_what_cannot_be_done_is_one_line(verb: str, words: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        getattr(boxseg, verb)(data="d", out="o", **words)


def test_a_missing_extra_says_how_to_get_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    for extra in ("grabcut", "sam"):
        job = LabelJob(data=Data(root=root), out=tmp_path, label=Label(method=extra, sam="x"))  # type: ignore[arg-type]
        with pytest.raises(MissingExtraError, match=rf"pip install 'boxseg\[{extra}\]'"):
            METHODS[job.label.method](job, formats.load(job.data))
    assert not any(tmp_path.iterdir())


# ---- bap and gap ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained", "method", "background", "expected"),
    [
        ("bap", "auto", "auto", "attention"),
        ("gap", "auto", "auto", "complement"),
        ("bap", "gap", "auto", "complement"),
        ("gap", "bap", "auto", "attention"),
        ("gap", "gap", "zero", "zero"),
        ("bap", "bap", "complement", "complement"),
    ],
)
def test_the_method_chooses_the_background_score(
    trained: str, method: Any, background: Any, expected: str
) -> None:
    assert background_of({"pooling": trained}, Label(method=method, background=background)) == expected


def test_a_method_that_the_classifier_was_not_trained_for_is_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/c"]) == 0
    words = ["label", f"data={root}", f"checkpoint={tmp_path}/c", "crf.iterations=1", "workers=0"]
    for name, option in (("a", "method=auto"), ("b", "method=bap"), ("g", "method=gap")):
        capsys.readouterr()
        assert execute([*words, f"out={tmp_path}/{name}", option]) == 0
        assert ("was trained with pooling=bap" in capsys.readouterr().err) == (name == "g")
    assert execute([*words, f"out={tmp_path}/k", "background=complement"]) == 0

    def content(name: str) -> list[bytes]:
        return [file.read_bytes() for file in sorted((tmp_path / name).glob("y_*/*.png"))]

    assert content("a") == content("b")
    assert content("g") == content("k")
    assert content("a") != content("g")
    # Its labels are Y_crf.
    assert [file.read_bytes() for file in sorted((tmp_path / "a" / "labels").iterdir())] == content("a")[:4]


def test_a_checkpoint_chooses_the_method(root: Path, tmp_path: Path) -> None:
    """Without one the mask network that comes with boxseg; one of either kind, as a file or in a run folder."""
    assert execute(["classify", *CLASSIFY, f"data={root}", f"out={tmp_path}/r/classify"]) == 0
    classifier = tmp_path / "r" / "classify" / "model.safetensors"
    for place in ("n", "m/adapt"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(shipped_weights(), tmp_path / place / "model.safetensors")
    dataset = formats.load(Data(root=root))
    for checkpoint, kind, file in (
        (None, FromNetwork, shipped_weights()),
        (tmp_path / "n", FromNetwork, tmp_path / "n" / "model.safetensors"),
        (tmp_path / "m", FromNetwork, tmp_path / "m" / "adapt" / "model.safetensors"),
        (tmp_path / "r", FromClassifier, classifier),
        (classifier, FromClassifier, classifier),
    ):
        job = LabelJob(data=Data(root=root), out=tmp_path / "o", checkpoint=checkpoint)
        method = start_method(job, dataset)
        assert isinstance(method, kind), checkpoint
        assert method.origin.files == {"checkpoint": file}
        assert method.origin.pair == (kind is FromClassifier)
    segmenter = tmp_path / "s.safetensors"
    save_checkpoint(segmenter, {"weight": torch.zeros(1)}, {"kind": "segmenter"})
    with pytest.raises(CheckpointError, match="holds a segmentation network: `boxseg predict` uses it"):
        start_method(LabelJob(data=Data(root=root), out=tmp_path / "o", checkpoint=segmenter), dataset)
    for label, checkpoint, needed in (("network", classifier, "mask"), ("bap", tmp_path / "n", "classifier")):
        job = LabelJob(
            data=Data(root=root), out=tmp_path / "o", checkpoint=checkpoint, label=Label(method=label)
        )
        with pytest.raises(CheckpointError, match=needed):
            start_method(job, dataset)


# ---- grabcut -------------------------------------------------------------------------------------------------


def grabcut_labels(
    photo: NDArray[np.uint8], boxes: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """What the method says of a photo before the CRF: the most probable class of each pixel."""
    sample = Sample(
        id="p", image=Path("p.jpg"), width=photo.shape[1], height=photo.shape[0],
        boxes=boxes.copy(), labels=labels.copy(),  # torch takes no views from back to front
        difficult=np.zeros(len(labels), dtype=bool),
    )  # fmt: skip
    trainer = TrainerOptions(seed=seed, accelerator="cpu")
    job = LabelJob(data=Data(root=Path("d")), out=Path("o"), label=Label(method="grabcut"), trainer=trainer)
    dataset = BoxDataset(root=Path("d"), format="voc", split="train", classes=("a",) * 9, samples=(sample,))
    scored = METHODS["grabcut"](job, dataset).score(sample, photo)
    return np.array([0, *scored.boxes.classes.tolist()])[scored.probabilities.argmax(0).numpy()]


def test_grabcut_is_opencvs_box_by_box(root: Path) -> None:
    """Beside a pixel-by-pixel painting of OpenCV's answers, also for boxes in another order."""
    cv2 = pytest.importorskip("cv2")
    for sample in formats.load(Data(root=root)).samples:
        photo = read_image(sample.image)
        best: dict[tuple[int, int], tuple[float, int]] = {}
        for (x1, y1, x2, y2), label in zip(sample.boxes, sample.labels.tolist(), strict=True):
            left, top, right, bottom = (round(edge) for edge in (x1, y1, x2, y2))
            marks = np.zeros(photo.shape[:2], np.uint8)
            cv2.setRNGSeed(7)
            rectangle = (left, top, right - left, bottom - top)
            cv2.grabCut(photo, marks, rectangle, None, None, 5, cv2.GC_INIT_WITH_RECT)
            rows, columns = np.nonzero((marks == 1) | (marks == 3))
            if len(rows) == 0:
                rows, columns = (
                    part.ravel() for part in np.meshgrid(range(top, bottom), range(left, right), indexing="ij")
                )
            for place in zip(rows.tolist(), columns.tolist(), strict=True):
                size = ((x2 - x1) * (y2 - y1), label)
                best[place] = min(best.get(place, size), size)
        expected = np.zeros(photo.shape[:2], np.uint8)
        for place, (_, label) in best.items():
            expected[place] = label
        for order in (slice(None), slice(None, None, -1)):
            found = grabcut_labels(photo, sample.boxes[order], sample.labels[order], 7)
            np.testing.assert_array_equal(found, expected)


def test_grabcut_finds_the_object_in_its_box() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 40, (60, 80, 3), np.uint8)
    disc = (np.indices((60, 80)) - np.array([30, 40])[:, None, None]).__pow__(2).sum(0) < 15**2
    photo[disc] += 180
    found = grabcut_labels(photo, np.array([[20.0, 10, 60, 50]]), np.array([4]), 0)
    np.testing.assert_array_equal(found, np.where(disc, 4, 0))


@pytest.mark.parametrize("box", [(0, 0, 20, 16), (0, 0, 20, 15), (3, 3, 4, 4), (5, 5, 5, 9), (19, 0, 20, 16)])
def test_grabcut_of_boxes_at_the_limits(box: tuple[int, int, int, int]) -> None:
    """Full photos, one pixel, none: a box is never left without its object."""
    pytest.importorskip("cv2")
    photo = np.random.default_rng(1).integers(0, 256, (16, 20, 3), np.uint8)
    for picture in (photo, np.full_like(photo, 9)):
        found = grabcut_mask(picture, box, 0)
        assert found.shape == (box[3] - box[1], box[2] - box[0])
        assert found.any() or found.size == 0
        if box == (0, 0, 20, 16):
            assert found.all()


@pytest.mark.slow
def test_grabcut_on_real_photos_is_better_than_their_boxes(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    data = {"root": shared_data / "voc2012", "split": "val", "limit": 20}
    scores = boxseg.label(method="grabcut", data=data, out=tmp_path, crf=False, workers=0).scores
    assert scores.labels["labels"].miou > scores.whole_box.miou


# ---- sam -----------------------------------------------------------------------------------------------------


def make_sam(folder: Path, root: Path) -> Any:
    job = LabelJob(data=Data(root=root), out=folder / "o", label=Label(method="sam", sam=str(folder)))
    return METHODS["sam"](job, formats.load(job.data))


def plain_sam2(network: Any, photo: NDArray[np.uint8], boxes: torch.Tensor) -> torch.Tensor:
    """Logits (n, H, W) of SAM 2 as its paper's code asks for them, a box at a time."""
    height, width = photo.shape[:2]
    small = np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) / 255.0
    normal = (small - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.from_numpy(normal).permute(2, 0, 1)[None].float()
    found = []
    for box in boxes:
        prompt = box * torch.tensor([SIDE / width, SIDE / height] * 2)
        answer = network(pixel_values=pixels, input_boxes=prompt[None, None], multimask_output=False)
        found.append(F.interpolate(answer.pred_masks[0], (height, width), mode="bilinear")[0, 0])
    return torch.stack(found)


def plain_sam(network: Any, photo: NDArray[np.uint8], boxes: torch.Tensor) -> torch.Tensor:
    """Logits (n, H, W) of SAM by transformers' own preparation of photos and boxes, and its own way back."""
    from transformers import SamProcessor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    sizes = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    processor = SamProcessor(SamImageProcessorPil(**sizes))
    inputs = processor(images=Image.fromarray(photo), input_boxes=[boxes.tolist()], return_tensors="pt")
    answer = network(
        pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"].float(), multimask_output=False
    )
    masks = processor.image_processor.post_process_masks(
        answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"],
        binarize=False, pad_size={"height": SIDE, "width": SIDE},
    )  # fmt: skip
    return torch.as_tensor(masks[0])[:, 0]


@pytest.mark.parametrize("kind", ["sam", "sam2"])
@torch.inference_mode()
def test_masks_are_those_of_the_network_asked_the_plain_way(kind: str, root: Path, tmp_path: Path) -> None:
    """70 boxes are asked for in three batches, for one encoding of the photo."""
    network = write_sam(tmp_path, kind)
    method = make_sam(tmp_path, root)
    rng = np.random.default_rng(3)
    photo = np.asarray(Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((101, 77), 2))
    corners = np.sort(rng.uniform(0, 1, (70, 2, 2)), axis=1).reshape(70, 4) * [101, 77, 101, 77]
    boxes = torch.from_numpy(corners.astype(np.float32))
    encoded = []
    hook = method.network.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    groups = list(method.mask_logits(torch.from_numpy(photo.copy()), boxes))
    hook.remove()
    assert [len(group) for group in groups] == [32, 32, 6]
    assert len(encoded) == 1
    ours = torch.cat(groups)
    expected = (plain_sam if kind == "sam" else plain_sam2)(network, photo, boxes)
    assert ours.shape == expected.shape == (70, 77, 101)
    # Pillow rounds the resized photo to whole levels.
    scale = expected.abs().max()
    torch.testing.assert_close(ours / scale, expected / scale, atol=0.02, rtol=0)
    assert (ours - ours[:1]).abs().max() > 0.1 * scale  # the network does listen to its prompts


@torch.inference_mode()
def test_a_sam_network_can_be_sent_to_another_process_and_device(root: Path, sam_folder: Path) -> None:
    method = make_sam(sam_folder, root)
    sample = formats.load(Data(root=root)).samples[0]
    photo = read_image(sample.image)
    expected = method.score(sample, photo)
    for other in (pickle.loads(pickle.dumps(method)), method.on(torch.device("cpu"))):
        torch.testing.assert_close(other.score(sample, photo).probabilities, expected.probabilities)
    assert method.on(torch.device("meta")).device.type == "meta"
    bare = formats.load(Data(root=root)).samples[0]
    object.__setattr__(bare, "boxes", bare.boxes[:0])
    object.__setattr__(bare, "labels", bare.labels[:0])
    assert torch.equal(method.score(bare, photo).probabilities, torch.ones(1, *photo.shape[:2]))


def test_sam_checkpoints_that_cannot_be_used(
    root: Path, tmp_path: Path, sam_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    with pytest.raises(CheckpointError, match=r"label\.sam=.*nowhere.*hub"):
        make_sam(tmp_path / "nowhere", root)
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="a model of type bert; expected one of sam, sam2"):
        make_sam(tmp_path / "bert", root)
    words = {"method": "sam", "data": root, "out": tmp_path / "l", "workers": 0}
    boxseg.label(sam=str(sam_folder), **words)
    weights = sam_folder / "model.safetensors"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[:-4] + b"\x00\x00\x80\x3f")
        with pytest.raises(BoxsegError, match="sam changed"):
            boxseg.label(sam=str(sam_folder), **words)
    finally:
        weights.write_bytes(content)
