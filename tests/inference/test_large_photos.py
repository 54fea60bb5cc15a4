"""Photos too large to be worked on at once, and of extreme shapes: the answers are those of the whole photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from boxseg import load, masks
from boxseg.cli import execute
from boxseg.config import Classify, Crf, Evaluate, Label, Model, Segment
from boxseg.data.toy import painted_photos
from boxseg.dataset import VOC_CLASSES, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import read_mask
from boxseg.inference import multiscale
from boxseg.inference.multiscale import label_group, network_probabilities
from boxseg.inference.networks import (
    Loaded,
    load_classifier,
    load_segmenter,
    save_network,
    start_classifier,
    start_segmenter,
)
from boxseg.labelling.class_map import select_weights
from boxseg.labelling.from_classifier import FromClassifier
from boxseg.labelling.method import Origin
from boxseg.nn import field, row_bands, views
from boxseg.nn.deeplab import LargeFOV, Segmenter
from boxseg.nn.pseudo import finish_crf
from small_networks import Edges

CPU = torch.device("cpu")
CLASSES = ("cat", "dog", "cow")
ONCE = Evaluate(tta=False, crf=Crf(enabled=False))
MANY = Evaluate(scales=(1.0, 1.25), crf=Crf(iterations=2))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier c and a segmentation network s that says something else in every place."""
    folder, model = tmp_path_factory.mktemp("networks"), Model()
    segmenter, _ = start_segmenter(model, len(CLASSES), 0)
    nn.init.orthogonal_(segmenter.classifier.weight, generator=torch.Generator().manual_seed(1))
    save_network(folder / "s.safetensors", segmenter, classes=CLASSES, model=model, options=Segment())
    classifier, _ = start_classifier(model, len(VOC_CLASSES), 0)
    save_network(folder / "c.safetensors", classifier, classes=VOC_CLASSES, model=model, options=Classify())
    return folder


@pytest.fixture
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_bands, "LAYER_PIXELS", 9_000)
    for module in (field, views):
        monkeypatch.setattr(module, "FULL_SIZE_PIXELS", 9_000)
    monkeypatch.setattr(multiscale, "PAIR", 22_000)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def painted(height: int, width: int) -> NDArray[np.uint8]:
    photo: NDArray[np.uint8] = painted_photos(1, height, width)[0]
    return photo


def many_boxes(height: int, width: int, count: int) -> Sample:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(-3, [width, height], (2, count, 2)), axis=0)
    return Sample(
        id="many",
        image=Path("many.png"),
        width=width,
        height=height,
        boxes=np.concatenate(list(corners), axis=1),
        labels=rng.integers(1, 21, count),
        difficult=np.zeros(count, dtype=bool),
    )


def labeller(networks: Path) -> FromClassifier:
    loaded = load_classifier(networks / "c.safetensors", CPU)
    weights = select_weights(loaded.network.weight, loaded.classes, VOC_CLASSES)
    return FromClassifier(loaded=loaded, weights=weights, options=Label(), origin=Origin(files={}))


def test_bands_change_no_probability_and_no_label(
    networks: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """A network at several scales and mirrored, and labels from 500 overlapping boxes of 20 classes."""
    loaded, photo = load_segmenter(networks / "s.safetensors", CPU), painted(120, 170)
    sample, tools = many_boxes(120, 170, 500), labeller(networks)

    def answers() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.inference_mode():
            seen = network_probabilities(loaded, torch.from_numpy(photo), MANY)
            scored = tools.score(sample, photo)
            labels = label_group(loaded, [photo], Evaluate(scales=MANY.scales, crf=Crf(enabled=False)))[
                0
            ].labels
            return seen, scored.probabilities, labels, finish_crf(scored.probabilities, scored.boxes)

    whole = answers()
    assert len(whole[1]) == 21
    assert len(np.unique(whole[2])) > 1
    request.getfixturevalue("small_bands")
    found = {}
    for threads in (1, 2):  # as processes share the cores
        torch.set_num_threads(threads)
        found[threads] = answers()
    for one, two, expected in zip(found[1], found[2], whole, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)  # labels are the same
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-5)


def near_sighted() -> Loaded[Segmenter]:
    """A network that sees 8 pixels more in its head, and no further."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Segmenter(Edges(), LargeFOV(8, stride=4, width=8, rate=1), len(CLASSES)).eval()
    return Loaded(network=network, classes=CLASSES, device=CPU, options={})


@pytest.mark.parametrize("size", [(150, 333), (333, 190), (1, 400), (400, 1)])
def test_windows_give_the_labels_of_the_whole_photo_away_from_their_edges(size: tuple[int, int]) -> None:
    loaded, photo = near_sighted(), painted(*size)
    whole = label_group(loaded, [photo], ONCE)[0]
    tiled = label_group(loaded, [photo], Evaluate(tta=False, crf=ONCE.crf, tile=160))[0]
    far = np.ones(size, dtype=bool)
    for axis, length in enumerate(size):
        # Windows of 160 begin at multiples of 128, but the last, which is to end with the photo.
        starts = [*range(0, max(0, length - 160), 128), max(0, length - 160) // 32 * 32]
        for edge in (*starts, *(start + 160 for start in starts)):
            if 0 < edge < length:
                far[(slice(None),) * axis + (slice(max(0, edge - 16), edge + 16),)] = False
    assert far.mean() > 0.3
    np.testing.assert_array_equal(tiled.labels[far], whole.labels[far])
    np.testing.assert_allclose(tiled.confidence[far], whole.confidence[far], atol=1e-5)
    assert tiled.confidence.shape == whole.confidence.shape == size


def test_windows_are_before_and_after_the_crf(networks: Path) -> None:
    loaded, photo = load_segmenter(networks / "s.safetensors", CPU), painted(90, 140)
    with_crf = Evaluate(tta=False, crf=Crf(iterations=2), tile=64)
    plain, refined = (
        label_group(loaded, [photo], options)[0]
        for options in (Evaluate(tta=False, crf=ONCE.crf, tile=64), with_crf)
    )
    np.testing.assert_array_equal(refined.before, plain.labels)
    assert not np.array_equal(refined.labels, refined.before)
    # A photo in windows beside one without, in one group: each gets its own answer.
    both = label_group(loaded, [photo, photo[:60, :50]], with_crf)
    np.testing.assert_array_equal(both[0].labels, refined.labels)
    alone = label_group(loaded, [photo[:60, :50]], with_crf)[0]
    np.testing.assert_array_equal(both[1].labels, alone.labels)


def test_large_photos_are_seen_in_windows_by_themselves(
    networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert multiscale.most_pixels(20) > 24_000_000  # 6000 x 4000, VOC's classes
    monkeypatch.setattr(multiscale, "MOST_SCORES", 16 * 5_000)
    calls = []

    def blended(photo: NDArray[np.uint8], side: int, compute: object) -> Iterator[object]:
        calls.append((photo.shape, side))
        yield slice(None), np.zeros((8, *photo.shape[:2]), dtype=np.float32)

    monkeypatch.setattr(multiscale, "blended", blended)
    label_group(load_segmenter(networks / "s.safetensors", CPU), [painted(100, 60), painted(50, 60)], ONCE)
    assert calls == [((100, 60, 3), 2048)]


def write_photos(folder: Path) -> Path:
    for name, size in {"wide": (1, 4000), "high": (4000, 1), "usual": (90, 140)}.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(painted(*size)).save(path)
    return folder


def test_predict_takes_photos_of_any_shape(networks: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    options = ["tta=false", "crf.iterations=1", "trainer.workers=0", "tile=2000"]
    made = execute(
        ["predict", f"checkpoint={networks}/s.safetensors", f"images={photos}", f"out={tmp_path}/out", *options]
    )
    assert made == 0
    for name, size in {"wide": (1, 4000), "high": (4000, 1), "usual": (90, 140)}.items():
        assert read_mask(tmp_path / "out" / "labels" / f"{name}.png", len(CLASSES)).shape == size
        assert np.asarray(Image.open(tmp_path / "out" / "confidence" / f"{name}.png")).min() > 0


def test_predict_and_masks_take_another_limit_of_pixels(networks: Path, tmp_path: Path) -> None:
    Image.fromarray(painted(20, 30)).save(tmp_path / "a.png")
    words = ["predict", f"checkpoint={networks}/s.safetensors", f"out={tmp_path}/out", "tta=false", "crf=false"]
    assert execute([*words, f"images={tmp_path}/a.png", "max_pixels=599"]) == 2
    assert execute([*words, f"images={tmp_path}/a.png", "max_pixels=600"]) == 0
    model = load(networks / "s.safetensors", max_pixels=599)
    for call in (lambda photo: model(photo), lambda photo: masks(photo, [[1, 1, 9, 9]], max_pixels=599)):
        with pytest.raises(DataError, match="max_pixels=599"):
            call(tmp_path / "a.png")
        call(painted(20, 30))


def test_wrong_windows_are_explained(
    networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", f"checkpoint={networks}/s.safetensors", f"images={tmp_path}", f"out={tmp_path}/out"]
    for tile in ("16", "-1"):
        assert execute([*words, f"tile={tile}"]) == 2
        assert (
            f"evaluate.tile must be 64 pixels or more, 0 (never) or auto, got {tile}" in capsys.readouterr().err
        )


def test_labels_of_narrow_photos(networks: Path) -> None:
    tools = labeller(networks)
    for height, width in ((1, 4000), (4000, 1)):
        sample = many_boxes(height, width, 7)
        with torch.inference_mode():
            scored = tools.score(sample, painted(height, width))
        assert scored.probabilities.shape[1:] == (height, width)
        torch.testing.assert_close(scored.probabilities.sum(0), torch.ones(height, width))
