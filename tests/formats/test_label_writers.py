"""Labels written in every format and read back: by our readers, by pycocotools and by supervision."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.label_map import read_label_map
from boxseg.formats.masks import read_mask
from boxseg.formats.writers import WRITERS, Writing
from drawn_labels import (
    CLASSES,
    Labels,
    dataset_of,
    objects,
    outlined,
    painted,
    photos,
    window,
    written,
)
from slow_regions import filled


@pytest.mark.parametrize("how", ["boxes", "regions"])
@written
@given(st.data())
def test_coco_and_back(how: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = [data.draw(photos(number, Path(folder) / "photos")) for number in range(2)]
        codes = data.draw(st.sampled_from(["rle", "polygons"]))
        root = Path(folder) / "out"
        done = WRITERS["coco"](dataset_of(samples, root), root, Writing(objects=how, segmentation=codes))
        assert done.photos == 2
        assert done.objects == sum(len(objects(sample, how)) for sample in samples)
        after = formats.load(Data(root=root))
        assert (after.format, after.classes, outlined(after)) == ("coco", CLASSES, not after.problems)
        theirs = COCO(root / "annotations" / "instances_train.json")
        for number, sample in enumerate(samples, start=1):
            read = next(one for one in after.samples if one.id == sample.id)
            assert read.image.read_bytes() == sample.image.read_bytes()
            expected = objects(sample, how)
            annotations = theirs.loadAnns(theirs.getAnnIds(number))
            assert [entry["category_id"] for entry in annotations] == [label for label, _ in expected]
            for entry, (_, mask) in zip(annotations, expected, strict=True):
                whole = mask if codes == "rle" else filled(mask)
                assert np.array_equal(theirs.annToMask(entry).astype(bool), whole)
                assert entry["area"] == whole.sum()
            if done.objects and outlined(after):  # a file without a single object has no ground truth
                assert np.array_equal(read.ground_truth(), painted(sample, how, holes=codes == "rle"))
            if how == "boxes":
                kept = [box for box, label in zip(sample.boxes.tolist(), sample.labels, strict=True)
                        if (sample.ground_truth()[window(box)] == label).any()]  # fmt: skip
                assert read.boxes.tolist() == kept


@pytest.mark.parametrize("how", ["boxes", "regions"])
@written
@given(st.data())
def test_yolo_polygons_and_back(how: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = [data.draw(photos(number, Path(folder) / "photos")) for number in range(2)]
        root = Path(folder) / "out"
        done = WRITERS["yolo-seg"](dataset_of(samples, root), root, Writing(objects=how))
        after = formats.load(Data(root=root))
        assert (after.format, after.classes, outlined(after)) == ("yolo", CLASSES, not after.problems)
        for sample in samples:
            read = next(one for one in after.samples if one.id == sample.id)
            expected = objects(sample, how)
            assert read.labels.tolist() == [label for label, _ in expected]
            for box, (_, mask) in zip(read.boxes, expected, strict=True):
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                bounds = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                assert np.allclose(box, bounds, atol=1e-4)
            if done.objects and outlined(after):
                assert np.array_equal(read.ground_truth(), painted(sample, how, holes=False))


@pytest.mark.parametrize("how", ["boxes", "regions"])
@pytest.mark.parametrize("name", ["voc", "palette"])
@written
@given(st.data())
def test_voc_and_back(name: str, how: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = [data.draw(photos(number, Path(folder) / "photos")) for number in range(2)]
        root = Path(folder) / "out"
        done = WRITERS[name](dataset_of(samples, root), root, Writing(objects=how))
        assert read_label_map(root / "labelmap.txt") == CLASSES
        ids = (root / "ImageSets" / "Segmentation" / "train.txt").read_text().splitlines()
        assert ids == [sample.id for sample in samples]
        assert done.ignored == sum((sample.ground_truth() == 255).any() for sample in samples)
        for sample in samples:
            mask = sample.ground_truth()
            assert np.array_equal(read_mask(root / "SegmentationClass" / f"{sample.id}.png"), mask)
            numbers = read_mask(root / "SegmentationObject" / f"{sample.id}.png")
            assert np.array_equal(numbers == 255, mask == 255)
            found = objects(sample, how)
            covered = np.any([one for _, one in found], axis=0) if found else np.zeros(mask.shape, bool)
            assert np.array_equal((numbers > 0) & (numbers < 255), covered)
            for number in np.unique(numbers[covered]):
                assert len(np.unique(mask[numbers == number])) == 1  # pixels of one object are of one class
        if name == "voc":
            after = formats.load(Data(root=root))
            assert (after.format, after.classes, after.problems) == ("voc", CLASSES, ())
            for sample, read in zip(samples, after.samples, strict=True):
                assert np.array_equal(read.ground_truth(), sample.ground_truth())
                if how == "boxes":
                    assert np.array_equal(read.boxes, sample.boxes)
                    numbers = read_mask(root / "SegmentationObject" / f"{sample.id}.png")
                    for number in set(np.unique(numbers)) - {0, 255}:  # the n-th object of the XML
                        assert read.labels[number - 1] == sample.ground_truth()[numbers == number][0]


@written
@given(st.data())
def test_mask_folder(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples = [data.draw(photos(number, Path(folder) / "photos")) for number in range(2)]
        root = Path(folder) / "out"
        WRITERS["masks"](dataset_of(samples, root), root, Writing())
        WRITERS["masks"](replace(dataset_of(samples[:1], root), split="val"), root, Writing())
        description = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
        assert description == {
            "names": {0: "background", 1: CLASSES[0], 2: CLASSES[1], 3: CLASSES[2]},
            "masks_dir": "masks",
            "train": "images/train",
            "val": "images/val",
        }
        for photo in (root / "images").rglob("*.png"):
            # As Ultralytics finds it: the folder `images` replaced by masks_dir, and the photo's own stem.
            file = Path(str(photo).replace("/images/", "/masks/"))
            with Image.open(file) as image:
                assert image.mode == "L"
                mask = np.asarray(image)
            name = photo.relative_to(root / "images").parts[1:]
            sample = next(one for one in samples if one.id == Path(*name).with_suffix("").as_posix())
            assert np.array_equal(mask, sample.ground_truth())


@pytest.fixture
def pets(tmp_path: Path) -> BoxDataset:
    """Two photos of 60 x 50 pixels, with a ring, an object in two parts, and one of another class."""
    samples = []
    for number in range(2):
        path = tmp_path / "photos" / f"p{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 50), (90, 120, 150)).save(path)
        mask = np.zeros((50, 60), np.uint8)
        mask[5:25, 5:25], mask[12:18, 12:18] = 1, 0
        mask[30:40, 5:15] = mask[35:45, 20:30] = 2
        mask[10:45, 40:55] = 3
        boxes = np.array([[5.0, 5, 25, 25], [5, 30, 30, 45], [40, 10, 55, 45]])
        more = {"boxes": boxes, "labels": np.array([1, 2, 3]), "difficult": np.zeros(3, dtype=bool)}
        sample = Sample(id=f"p{number}", image=path, width=60, height=50, ground_truth=Labels(mask), **more)
        samples.append(sample)
    return dataset_of(samples, tmp_path)


def test_supervision_opens_them(pets: BoxDataset, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would rather have OpenCV
        import supervision
    for name in ("coco", "yolo-seg", "voc"):
        WRITERS[name](pets, tmp_path / name, Writing(segmentation="polygons"))
    WRITERS["coco"](pets, tmp_path / "coco-rle", Writing(segmentation="rle"))
    read = supervision.DetectionDataset
    opened = {
        name: read.from_coco(
            str(tmp_path / name / "images" / "train"),
            str(tmp_path / name / "annotations" / "instances_train.json"),
            force_masks=True,
        )
        for name in ("coco", "coco-rle")
    }
    yolo = tmp_path / "yolo-seg"
    opened["yolo-seg"] = read.from_yolo(
        str(yolo / "images" / "train"),
        str(yolo / "labels" / "train"),
        str(yolo / "data.yaml"),
        force_masks=True,
    )
    voc = tmp_path / "voc"
    opened["voc"] = read.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations"))
    for name, dataset in opened.items():
        assert len(dataset) == 2
        for _, _, found in dataset:
            names = [dataset.classes[number] for number in found.class_id]
            assert names == list(CLASSES), name
            if name == "voc":
                # It keeps VOC's inclusive corners, counted from 0.
                assert np.allclose(found.xyxy, pets.samples[0].boxes, atol=1)
                continue
            for mask, (_, expected) in zip(found.mask, objects(pets.samples[0], "boxes"), strict=True):
                whole = expected if name == "coco-rle" else filled(expected)
                both, either = (mask & whole).sum(), (mask | whole).sum()
                # It draws outlines through pixel centres, and bridges a pixel wide: nearly the same.
                assert both / either > (0.999 if name == "coco-rle" else 0.8), name


def test_opencv_opens_the_masks(pets: BoxDataset, tmp_path: Path) -> None:
    """Grey as trainers read masks; palettes by their colours, whose names are in labelmap.txt, as CVAT does."""
    cv2 = pytest.importorskip("cv2")
    for sample in pets.samples:
        sample.ground_truth()[:3, :4] = 255
    for name in ("palette", "voc", "masks"):
        WRITERS[name](pets, tmp_path / name, Writing())
    values = {"background": 0, **{name: value for value, name in enumerate(CLASSES, 1)}, "ignored": 255}
    for sample in pets.samples:
        mask = sample.ground_truth()
        file = tmp_path / "masks" / "masks" / "train" / f"{sample.id}.png"
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(grey, mask)
        for name in ("palette", "voc"):
            file = tmp_path / name / "SegmentationClass" / f"{sample.id}.png"
            colours = cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1]
            read = np.full(mask.shape, 254, np.uint8)
            for line in (tmp_path / name / "labelmap.txt").read_text(encoding="utf-8").splitlines()[1:]:
                known, colour, *_ = line.split(":")
                read[(colours == [int(part) for part in colour.split(",")]).all(-1)] = values[known]
            assert np.array_equal(read, mask), name


def test_what_formats_cannot_hold(pets: BoxDataset, tmp_path: Path) -> None:
    for name in ("yolo-seg", "masks"):
        with pytest.raises(DataError, match=r"split 'x' has no place in data\.yaml"):
            WRITERS[name](replace(pets, split="x"), tmp_path / name, Writing())
        WRITERS[name](pets, tmp_path / name, Writing())
        with pytest.raises(DataError, match="has other classes"):
            WRITERS[name](replace(pets, classes=("a", "b", "c"), split="val"), tmp_path / name, Writing())
    with pytest.raises(DataError, match="'a:b' is not allowed in labelmap"):
        WRITERS["palette"](replace(pets, classes=("a:b", "c", "d")), tmp_path / "p", Writing())
    small = replace(pets.samples[0], ground_truth=Labels(np.zeros((4, 5), np.uint8)))
    with pytest.raises(DataError, match="mask of p0: 5 x 4 pixels, expected 60 x 50"):
        WRITERS["coco"](replace(pets, samples=(small,)), tmp_path / "c", Writing())


def test_small_objects_are_left_out_of_objects_only(pets: BoxDataset, tmp_path: Path) -> None:
    done = WRITERS["voc"](pets, tmp_path / "v", Writing(objects="regions", min_area=150))
    assert (done.objects, done.empty) == (4, 4)  # the two parts of class 2 have 100 pixels each
    after = formats.load(Data(root=tmp_path / "v"))
    assert after.samples[0].labels.tolist() == [1, 3]
    assert np.array_equal(after.samples[0].ground_truth(), pets.samples[0].ground_truth())


@pytest.mark.parametrize("name", ["coco", "yolo-seg"])
def test_simplified_polygons_are_nearly_the_mask(name: str, tmp_path: Path) -> None:
    rows, columns = np.mgrid[:50, :60]
    mask = (np.hypot(rows - 25, columns - 30) < 20).astype(np.uint8)
    Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
    box = {"boxes": np.array([[10.0, 5, 51, 46]]), "labels": np.array([1]), "difficult": np.array([False])}
    sample = Sample(id="a", image=tmp_path / "a.png", width=60, height=50, ground_truth=Labels(mask), **box)
    lengths = []
    for tolerance in (0.0, 1.0):
        root = tmp_path / f"{name}-{tolerance}"
        WRITERS[name](dataset_of([sample], root), root, Writing(segmentation="polygons", simplify=tolerance))
        (region,) = formats.load(Data(root=root)).samples[0].instances[0].region if name == "coco" else [None]
        painted = formats.load(Data(root=root)).samples[0].ground_truth() == 1
        text = next(root.rglob("a.txt" if name == "yolo-seg" else "instances_*.json")).read_text()
        lengths.append(len(text.split()) if region is None else len(region))
        overlap = (painted & (mask == 1)).sum() / (painted | (mask == 1)).sum()
        assert overlap > 0.95 if tolerance else overlap == 1
    assert lengths[1] < lengths[0] / 2


@pytest.mark.parametrize("how", ["copy", "link", "none"])
def test_photos_are_copied_linked_or_left_out(how: str, pets: BoxDataset, tmp_path: Path) -> None:
    WRITERS["coco"](pets, tmp_path / "c", Writing(photos=how))
    photo = tmp_path / "c" / "images" / "train" / "p0.jpg"
    assert (photo.is_file(), photo.is_symlink()) == (how != "none", how == "link")
    if how == "link":  # a copy takes the place of a link, and the original stays
        WRITERS["coco"](pets, tmp_path / "c", Writing(photos="copy"))
        assert not photo.is_symlink()
        assert pets.samples[0].image.is_file()


def test_a_photo_of_too_many_objects_has_no_mask_of_them(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[::4, ::4] = 1  # 256 regions
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    none = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "difficult": np.zeros(0, bool)}
    path = tmp_path / "a.png"
    sample = Sample(id="a", image=path, width=64, height=64, ground_truth=Labels(mask), **none)
    done = WRITERS["voc"](dataset_of([sample], tmp_path), tmp_path / "v", Writing(objects="regions"))
    assert done.objects == 256
    assert (tmp_path / "v" / "SegmentationClass" / "a.png").is_file()
    assert not (tmp_path / "v" / "SegmentationObject").exists()
