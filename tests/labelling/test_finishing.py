"""Labels of large photos, made in windows: those of the whole photo."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import boxseg
from boxseg.config import Crf
from boxseg.data.box_masks import Window, ellipse_mask
from boxseg.data.toy import painted_photos
from boxseg.dataset import IGNORE, Sample
from boxseg.inference import object_masks
from boxseg.inference.mask_networks import load_mask_network
from boxseg.labelling import finishing, from_network
from boxseg.labelling import method as label_method
from boxseg.labelling.finishing import Finished, finish
from boxseg.labelling.from_network import FromNetwork
from boxseg.labelling.method import BoxMethod, Scored, ScoredInParts
from boxseg.nn.mask_scores import label_scores
from boxseg.nn.pseudo import box_masks

SIZE = (230, 310)
# So narrow that margins are small beside the photo.
NARROW = Crf(sigma_xy=6.0, iterations=3)


@pytest.fixture(scope="module")
def method() -> FromNetwork:
    return FromNetwork(loaded=load_mask_network("shipped", torch.device("cpu")))


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = painted_photos(1, *SIZE)[0]
    return made


@dataclass(frozen=True)
class Crowd:
    """Reads pixels of crowds."""

    left: int

    def __call__(self) -> NDArray[np.uint8]:
        mask = np.zeros(SIZE, np.uint8)
        mask[150:190, self.left : self.left + 40] = IGNORE
        return mask


def sample(crowd: int | None = None) -> Sample:
    boxes = np.array(
        [[20, 30, 140.5, 120], [100, 60, 180, 150], [5, 200, 30, 225], [200, 20, 300, 100], [9.6, 9, 10.2, 40]]
    )
    return Sample(
        id="a",
        image=Path("a.png"),
        width=SIZE[1],
        height=SIZE[0],
        boxes=boxes,
        labels=np.array([1, 3, 1, 7, 9]),
        difficult=np.zeros(len(boxes), dtype=bool),
        ignored=None if crowd is None else Crowd(crowd),
    )


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch):
    """Makes photos of any size large, with cores of this side and a margin of so many deviations."""

    def make(side: int, reach: float, pasted: int = 2_000) -> None:
        for module in (finishing, from_network):
            monkeypatch.setattr(module, "LARGE", 1_000)
        monkeypatch.setattr(finishing, "SIDE", side)
        monkeypatch.setattr(finishing, "_REACH", reach)
        monkeypatch.setattr(object_masks, "FULL_SIZE_PIXELS", pasted)

    return make


def labelled(
    method: FromNetwork | BoxMethod, item: Sample, photo: NDArray[np.uint8], crf: Crf
) -> tuple[Finished, list]:
    with torch.inference_mode():
        scored = method.score(item, photo)
        return finish([scored], crf)[0], [mask.mask for mask in scored.objects or ()]


@pytest.mark.parametrize("crowd", [None, 30, 250])
@pytest.mark.parametrize("crf", [Crf(enabled=False), NARROW], ids=["without", "with"])
def test_windows_that_see_enough_give_the_labels_of_the_whole(method, photo, windows, crowd, crf) -> None:
    """With the photo as margin every window sees all; without a CRF pixels depend on nothing but themselves."""
    whole, masks = labelled(method, sample(crowd), photo, crf)
    windows(64, 1_000.0)
    parts, own = labelled(method, sample(crowd), photo, crf)
    for expected, found in zip(masks, own, strict=True):
        np.testing.assert_array_equal(found, expected)
    if crf.active:  # sums in another order
        different = (whole.labels != parts.labels).sum() + (whole.second != parts.second).sum()
        assert different <= 2
        assert (whole.levels.int() - parts.levels.int()).abs().float().mean() < 0.1
        return
    for name in ("labels", "second", "levels"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)


@pytest.mark.parametrize("crowd", [None, 30])
def test_windows_of_masks_without_a_network(photo, windows, monkeypatch: pytest.MonkeyPatch, crowd) -> None:
    ellipses = BoxMethod(name="ellipse", mask_of=_ellipse, device=torch.device("cpu"))
    whole, masks = labelled(ellipses, sample(crowd), photo, Crf(enabled=False))
    windows(64, 4.0)
    monkeypatch.setattr(label_method, "LARGE", 1_000)
    parts, own = labelled(ellipses, sample(crowd), photo, Crf(enabled=False))
    assert len(masks) == len(own) == 5
    for name in ("labels", "second", "levels"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)


def _ellipse(_: NDArray[np.uint8], box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    return ellipse_mask(box, window)


def test_margins_make_the_labels_of_the_whole_but_for_a_few_pixels(method, photo, windows) -> None:
    whole, _ = labelled(method, sample(), photo, NARROW)
    windows(64, finishing._REACH)
    parts, _ = labelled(method, sample(), photo, NARROW)
    assert len(whole.labels.unique()) > 2
    assert (whole.labels != parts.labels).float().mean() < 1e-3
    windows(64, 0.0)
    without, _ = labelled(method, sample(), photo, NARROW)
    assert (whole.labels != without.labels).sum() > 2 * (whole.labels != parts.labels).sum()


def test_far_from_boxes_nothing_is_computed(method, photo, windows, monkeypatch: pytest.MonkeyPatch) -> None:
    windows(64, finishing._REACH)
    areas: list[tuple[int, ...]] = []

    def refine(_: Crf, images: list, probabilities: list, origin: tuple[int, int] = (0, 0)) -> list:
        areas.extend((*origin, *image.shape[:2]) for image in images)
        return probabilities

    monkeypatch.setattr(finishing, "refine", refine)
    one = replace(
        sample(), boxes=np.array([[30.0, 40, 50, 60]]), labels=np.array([2]), difficult=np.zeros(1, bool)
    )
    done, _ = labelled(method, one, photo, NARROW)
    margin = 24  # four deviations
    for left, top, height, width in areas:
        assert left >= 30 - margin
        assert top >= 40 - margin
        assert left + width <= 50 + margin
        assert top + height <= 60 + margin
    assert areas
    assert set(done.labels.unique().tolist()) <= {0, 2}
    assert (done.levels[120:] == 255).all()


def test_scores_of_the_whole_photo_are_cut_for_windows(photo, windows) -> None:
    """Methods that score a large photo whole: probabilities of all of it are kept where labels become masks."""
    boxes = box_masks(torch.tensor([[20.0, 30, 200, 120]]), torch.tensor([4]), SIZE)
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    labels[40:110, 30:150] = 4
    scored = Scored(image=torch.from_numpy(photo), boxes=boxes, probabilities=label_scores(labels, boxes))
    whole = finish([scored], NARROW)[0]
    windows(64, 1_000.0)
    parts, retrieved = finish([scored, replace(scored, retrieve=lambda y: y * 0 + 9)], NARROW)
    assert (parts.labels != whole.labels).sum() <= 2
    assert parts.probabilities is not None
    assert whole.probabilities is not None
    torch.testing.assert_close(parts.probabilities, whole.probabilities, atol=2e-2, rtol=0)
    assert (retrieved.second == 9).all()


def test_a_large_photo_is_scored_in_parts(method, photo, windows) -> None:
    assert isinstance(method.score(sample(), photo), Scored)
    windows(64, 4.0)
    assert isinstance(method.score(sample(), photo), ScoredInParts)
    found = boxseg.Masker(crf=NARROW)(photo, sample().boxes[:4], sample().labels[:4].tolist())
    assert found.labels_map.shape == SIZE


MEASURE = """
    import resource, sys
    import numpy as np, torch
    from boxseg.labelling.masker import Masker
    torch.set_num_threads(1)
    make, side = Masker(), int(sys.argv[1])
    photo = np.zeros((side, side, 3), np.uint8)
    photo[: side // 2] = 120
    before = make(photo[:64, :64], [[8, 8, 40, 40]]).labels_map
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    box = [[side * 0.1, side * 0.1, side * 0.9, side * 0.9]]
    labels = make(photo, box * 3, [1, 2, 3]).labels_map
    assert labels.shape == (side, side)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024 / side**2)
"""


@pytest.mark.slow
def test_memory_of_a_large_photo_is_bounded() -> None:
    """Beside its own three bytes and the masks of its boxes, a pixel takes a few bytes; whole, it takes 180."""
    code = textwrap.dedent(MEASURE)
    run = subprocess.run([sys.executable, "-c", code, "6000"], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 60
