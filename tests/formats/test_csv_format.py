"""Tables of boxes, as other programs write them and as people do in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boxseg.cli import execute
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.formats import csv_table, load

WIDTH, HEIGHT = 40, 30
CAT, DOG = (4, 3, 20, 18), (10.5, 6, 40, 30)

# The same two boxes on a.jpg, and none on b.jpg, in the columns of several programs.
TENSORFLOW = f"""filename,width,height,class,xmin,ymin,xmax,ymax
a.jpg,{WIDTH},{HEIGHT},cat,4,3,20,18
a.jpg,{WIDTH},{HEIGHT},dog,10.5,6,40,30
b.jpg,{WIDTH},{HEIGHT},,,,,
"""
RETINANET = "a.jpg,4,3,20,18,cat\na.jpg,10.5,6,40,30,dog\nb.jpg,,,,,\n"
MAKE_SENSE = f"""label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height
cat,4,3,16,15,a.jpg,{WIDTH},{HEIGHT}
dog,10.5,6,29.5,24,a.jpg,{WIDTH},{HEIGHT}
,,,,,b.jpg,{WIDTH},{HEIGHT}
"""
OPEN_IMAGES = """ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf
a,xclick,cat,1,0.1,0.5,0.1,0.6,0,0
a,xclick,dog,1,0.2625,1,0.2,1,0,0
b,xclick,,1,,,,,0,0
"""
SPREADSHEET = "\r\n".join(
    [
        "Label;Left;Top;Right;Bottom;Image Path",
        r"cat;4;3;20;18;C:\photos\a.jpg",
        r"dog;10,5;6;40;30;C:\photos\a.jpg",
        r";;;;;C:\photos\b.jpg",
    ]
)
TABS = "image_id\tx\ty\tw\th\tcategory\na\t4\t3\t16\t15\tcat\na\t10.5\t6\t29.5\t24\tdog\nb\t\t\t\t\t\n"
QUOTED = "\ufeff" + "\n".join(
    [
        '"file_name","x_min","y_min","x_max","y_max","class_name"',
        '"a.jpg","4","3","20","18","cat"',
        '"a.jpg","10.5","6","40","30","dog"',
        '"b.jpg","","","","",""',
    ]
)
BY = {
    "tensorflow": TENSORFLOW,
    "retinanet": RETINANET,
    "make_sense": MAKE_SENSE,
    "open_images": OPEN_IMAGES,
    "spreadsheet": SPREADSHEET,
    "tabs": TABS,
    "quoted": QUOTED,
}


def write(root: Path, text: str, name: str = "boxes.csv", photos: str = "ab") -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for photo in photos:
        Image.new("RGB", (WIDTH, HEIGHT), "green").save(root / "images" / f"{photo}.jpg")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8", newline="")
    return root


def read(root: Path, text: str, **data) -> BoxDataset:
    return load(Data(root=write(root, text), **data))


@pytest.mark.parametrize("text", BY.values(), ids=list(BY))
def test_all_spellings_say_the_same(text: str, tmp_path: Path) -> None:
    dataset = read(tmp_path, text)
    assert (dataset.format, dataset.classes, dataset.problems) == ("csv", ("cat", "dog"), ())
    a, b = dataset.samples
    assert (a.id, b.id) == ("a", "b")
    assert a.labels.tolist() == [1, 2]
    assert np.allclose(a.boxes, [CAT, DOG])
    assert len(b.labels) == 0


def test_a_class_is_called_by_its_name_and_not_by_its_number(tmp_path: Path) -> None:
    text = "class,class_name,filename,x1,y1,x2,y2\n7,cat,a.jpg,4,3,20,18\n2,dog,a.jpg,1,1,9,9\n"
    assert read(tmp_path, text).classes == ("cat", "dog")
    numbers = read(tmp_path / "numbers", "class,filename,x1,y1,x2,y2\n7,a.jpg,4,3,20,18\n")
    assert numbers.classes == ("7",)


def test_the_photos_size_is_not_taken_for_that_of_the_box(tmp_path: Path) -> None:
    for folder, order in ("before", [0, 1, 2, 3]), ("after", [2, 3, 0, 1]):
        named = list(zip(("width", "height", "x", "y"), (WIDTH, HEIGHT, 4, 3), strict=True))
        names, values = zip(*(named[place] for place in order), strict=True)
        head = ",".join(map(str, ("filename", *names, "w", "h", "class")))
        row = ",".join(map(str, ("a.jpg", *values, 16, 15, "cat")))
        dataset = read(tmp_path / folder, f"{head}\n{row}\n")
        assert np.allclose(dataset.samples[0].boxes, [[4, 3, 20, 18]])
        assert dataset.problems == ()


def test_a_table_without_classes_has_one(tmp_path: Path) -> None:
    dataset = read(tmp_path, "image_id,xmin,ymin,xmax,ymax\na,4,3,20,18\nb,1,1,9,9\n")
    assert dataset.classes == ("object",)
    assert [sample.labels.tolist() for sample in dataset.samples] == [[1], [1]]
    (decision,) = [one for one in dataset.decisions if one.about == "class list"]
    assert "no column of classes" in decision.why


def test_splits_are_files_or_folders_and_share_their_classes(tmp_path: Path) -> None:
    head = "filename,xmin,ymin,xmax,ymax,class\n"
    for name, label, photo in (("train", "dog", "a"), ("valid", "cat", "b")):
        write(tmp_path / "flat", f"{head}{photo}.jpg,1,1,9,9,{label}\n", f"{name}.csv")
        write(tmp_path / "deep", f"{head}{photo}.jpg,1,1,9,9,{label}\n", f"{name}/_annotations.csv")
    for root in (tmp_path / "flat", tmp_path / "deep"):
        for split, label, photo in (("train", 2, "a"), ("valid", 1, "b")):
            dataset = load(Data(root=root, split=split))
            assert dataset.classes == ("cat", "dog")
            (sample,) = dataset.samples
            assert (sample.id, sample.labels.tolist()) == (photo, [label])


def test_a_group_is_neither_an_object_nor_background(tmp_path: Path) -> None:
    text = OPEN_IMAGES.replace("0.6,0,0", "0.6,0,1")
    sample = read(tmp_path, text).samples[0]
    assert sample.labels.tolist() == [2]
    assert np.allclose(sample.crowds, [CAT])
    unknown = OPEN_IMAGES.replace("0.6,0,0", "0.6,0,-1")
    assert read(tmp_path / "unknown", unknown).samples[0].labels.tolist() == [1, 2]


def test_what_is_broken_is_listed(tmp_path: Path) -> None:
    text = """filename,xmin,ymin,xmax,ymax,class
a.jpg,4,3,20,18,cat
a.jpg,1,1,9,9,
b.jpg,1,1,many,9,cat
,1,1,9,9,cat
c.jpg,1,1,9,9,cat
d.jpg,1,1,9
"""
    write(tmp_path, text, photos="abd")
    dataset = load(Data(root=tmp_path))
    assert [(sample.id, len(sample.labels), len(sample.crowds)) for sample in dataset.samples] == [("a", 1, 1)]
    assert {(problem.kind, problem.detail, problem.action) for problem in dataset.problems} == {
        ("row without photo", "line 5", "skipped"),
        ("photo not found", "c.jpg", "skipped"),
        ("class missing", "line 3 (no class) of a.jpg", "ignored with its box"),
        ("box without four numbers", "line 4 (cat) of b.jpg", "skipped"),
        ("box without four numbers", "line 7 (no class) of d.jpg", "skipped"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,class\na.jpg,cat\n", "no columns of boxes in its first line: name them filename, xmin"),
        ("", "no columns of boxes"),
        ('a.jpg,1,1,9,9,cat\n"' + "a" * 200_000, "cannot be read as a table"),
    ],
)
def test_what_is_no_table_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, annotations=Path("boxes.csv"))


def test_bytes_of_no_text(tmp_path: Path) -> None:
    write(tmp_path, TENSORFLOW)
    (tmp_path / "boxes.csv").write_bytes(TENSORFLOW.replace("cat", "größe").encode("latin-1"))
    with pytest.raises(DataError, match=r"boxes\.csv cannot be read as a table in UTF-8"):
        load(Data(root=tmp_path))


def test_a_list_of_classes_is_no_table(tmp_path: Path) -> None:
    write(tmp_path, "cat,0\ndog,1\n", "classes.csv")
    assert [sample.id for sample in read(tmp_path, RETINANET).samples] == ["a", "b"]


names = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)
corner = st.tuples(st.integers(0, 60), st.integers(0, 60))


@given(
    rows=st.lists(st.tuples(st.sampled_from(["a", "b"]), names, corner, corner), min_size=1, max_size=8),
    order=st.permutations(range(6)),
    separator=st.sampled_from(",;\t"),
)
def test_columns_may_stand_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, tuple[int, int], tuple[int, int]]],
    order: list[int],
    separator: str,
) -> None:
    """What `csv.writer` writes is read; the photos, and so the boxes before they are checked, are those."""
    root = tmp_path_factory.mktemp("table")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    for row in [("image", "label", "x1", "y1", "x2", "y2"), *((p, n, *one, *two) for p, n, one, two in rows)]:
        writer.writerow([row[place] for place in order])
    write(root, text.getvalue())
    listing = csv_table.read(Data(root=root))
    found = {photo.id: photo for photo in listing.photos}
    assert listing.classes == tuple(sorted({name for _, name, _, _ in rows}))
    largest = max(value for _, _, one, two in rows for value in (*one, *two))
    for photo in found.values():
        own = [(name, (*one, *two)) for place, name, one, two in rows if place == photo.id]
        assert [(listing.classes[box.label - 1], box.corners) for box in photo.boxes] == own
        assert photo.normalised == (largest <= 1)


def test_a_table_is_labelled_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "photos", SPREADSHEET)
    words = ["method=ellipse", "crf.iterations=0", f"out={tmp_path}/masks", "--quiet"]
    assert execute(["label", f"data={tmp_path}/photos/boxes.csv", *words]) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "masks" / "masks.json").read_text())
    assert [entry["name"] for entry in content["categories"]] == ["cat", "dog"]
    assert [entry["bbox"] for entry in content["annotations"]] == [[4, 3, 16, 15], [10.5, 6, 29.5, 24]]
    assert (tmp_path / "masks" / "labels" / "a.png").is_file()


def test_results_in_the_folder_do_not_change_how_it_is_read(tmp_path: Path) -> None:
    words = [f"data={write(tmp_path, TENSORFLOW)}", "method=ellipse", "crf.iterations=0", "--quiet"]
    for out in ("masks", "again"):
        assert execute(["label", *words, f"out={tmp_path}/{out}"]) == 0
    assert load(Data(root=tmp_path)).format == "csv"
