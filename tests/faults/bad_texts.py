"""YAML, lists and XML of YOLO, VOC and CVAT that say what nobody expects."""

from __future__ import annotations

from bad import Bad, cut, swap, write

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
_ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
_XML_BOMB = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{_ENTITIES}]>'


def _yolo() -> list[Bad]:
    """data.yaml, lists and label lines."""
    yaml_texts = {
        "names: [cat, dog]\ntrain: /\n": ("data.yaml", "outside"),
        "names: [cat, dog]\ntrain: //x\n": ("data.yaml", "train"),
        "names: [cat, dog]\ntrain: ../../..\n": ("data.yaml", "outside"),
        "names: [cat, dog]\npath: /etc\ntrain: ssl\n": ("data.yaml", "outside"),
        "names: {²: cat}\ntrain: images/train\n": ("data.yaml", "names"),
        "names: 7\ntrain: images/train\n": ("data.yaml", "names"),
        "names: [[[cat]]]\ntrain: nowhere\n": ("data.yaml", "nowhere"),
        "names: [cat, cat]\ntrain: images/train\n": ("data.yaml", "share a name"),
        "names: &a [*a]\ntrain: images/train\n": ("data.yaml", "alias"),
        "names: [cat, dog]\ntrain: {a: b}\n": ("data.yaml", "train"),
        "names: [cat, dog]\ntrain: 7\n": ("data.yaml", "train"),
        f"names: [cat, dog]\ntrain: {'x' * 5000}\n": ("data.yaml", "train"),
        "names: !!python/object/apply:os.system [ls]\ntrain: images/train\n": ("data.yaml", "YAML"),
        "names: [cat, dog]\ntrain: !!timestamp 2001-99-99\n": ("data.yaml", "YAML"),
        f"{_BOMB}names: *j\ntrain: images/train\n": ("data.yaml", "aliases"),
        f"names: {'[' * 3000}\ntrain: images/train\n": ("data.yaml", "YAML"),
        "names: [cat, dog]\ntrain: train.txt\n": ("data.yaml", "train.txt"),
    }
    bad = [
        Bad(
            name=f"yolo: {text[:60]!r}",
            base="yolo",
            spoil=write("data.yaml", text),
            outcome="refused",
            says=says,
        )
        for text, says in yaml_texts.items()
    ]
    lines = {
        "0 nan 0.5 0.5 0.5": "finite",
        "0 1e400 0.5 0.5 0.5": "finite",
        "0 0.5 0.5 0.5": "neither a box",
        "0 a b c d": "not all numbers",
        f"0 {'9' * 400} 0.5 0.5 0.5": "finite",
        "² 0.5 0.5 0.5 0.5": "class unknown",
        f"{'9' * 400} 0.5 0.5 0.5 0.5": "class unknown",
        "nan 0.5 0.5 0.5 0.5": "class unknown",
        "0 300 200 50 50": "beyond 1",
        "0 0.1 0.2 0.3 0.4 0.5": "number more",
        "0,": "not all numbers",
    }
    bad += [
        Bad(
            name=f"yolo: line {line[:40]!r}",
            base="yolo",
            spoil=write("labels/train/a.txt", line + "\n"),
            outcome="listed",
            says=("a.txt", says),
        )
        for line, says in lines.items()
    ]
    entries = {
        "/etc/passwd": "outside",
        "../secret.jpg": "secret",
        "//x": "photo",
        "\x00": "photo",
        "x" * 5000: "photo",
    }
    bad += [
        Bad(
            name=f"yolo list: {line[:30]!r}",
            base="yolo_list",
            spoil=swap("train.txt", "images/train/a.jpg", line),
            outcome="listed",
            says=("train.txt", says),
        )
        for line, says in entries.items()
    ]
    bad += [
        Bad(
            name="darknet: names of another file",
            base="darknet",
            spoil=swap("obj.data", "obj.names", "/etc/passwd"),
            outcome="refused",
            says=("obj.data",),
        ),
        Bad(
            name="darknet: no names",
            base="darknet",
            spoil=write("obj.names", ""),
            outcome="refused",
            says=("obj.data",),
        ),
    ]
    return bad


def _markup() -> list[Bad]:
    """VOC's and CVAT's XML."""
    xml = "Annotations/a.xml"
    voc = {
        "corner NaN": swap(xml, "<xmin>5<", "<xmin>nan<"),
        "corner 1e400": swap(xml, "<xmin>5<", "<xmin>1e400<"),
        "corner of 400 digits": swap(xml, "<xmin>5<", f"<xmin>{'9' * 400}<"),
        "corner a word": swap(xml, "<xmin>5<", "<xmin>left<"),
        "no corner": swap(xml, "<xmin>5</xmin>", ""),
        "size of 5000 digits": swap(xml, "<width>48<", f"<width>{'9' * 5000}<"),
        "size of another photo": swap(xml, "<width>48<", "<width>60000<"),
        "no name": swap(xml, "<name>cat</name>", "<name></name>"),
        "deep": write(xml, "<annotation>" + "<a>" * 100_000),
        "a bomb of entities": write(xml, _XML_BOMB + "<annotation>&j;</annotation>"),
        "an outside entity": write(
            xml, '<!DOCTYPE x [<!ENTITY a SYSTEM "/etc/passwd">]><annotation>&a;</annotation>'
        ),
        "an unknown encoding": write(
            xml, '<?xml version="1.0" encoding="zip"?><annotation><object/></annotation>'
        ),
        "a number as root": write(xml, "7"),
    }
    quiet = {"size of 5000 digits"}  # taken for a file without a size
    bad = [
        Bad(name=f"voc: {name}", base="voc", spoil=spoil, outcome="listed", says=("a.xml",))
        for name, spoil in voc.items()
        if name not in quiet
    ]
    file = "annotations.xml"
    cvat = {
        "mask of 60000 x 60000": swap(file, 'width="48" height="32"', 'width="60000" height="60000"'),
        "mask of negative runs": swap(file, 'rle="3, ', 'rle="-3, '),
        "mask of words": swap(file, 'rle="3, ', 'rle="a, '),
        "mask of 400 digits": swap(file, 'rle="3, ', f'rle="{"9" * 400}, '),
        "mask of huge width": swap(file, 'width="23"', f'width="{10**9}"'),
        "box of NaN": swap(file, 'xtl="4"', 'xtl="nan"'),
        "box of a word": swap(file, 'xtl="4"', 'xtl="left"'),
        "points of words": swap(file, 'points="4,6', 'points="a,b'),
        "no name": swap(file, 'name="a.jpg"', 'name=""'),
        "name leads out": swap(file, 'name="a.jpg"', 'name="../../etc/passwd"'),
        "unknown label": swap(file, '<box label="cat"', '<box label="cow"'),
    }
    bad += [
        Bad(name=f"cvat: {name}", base="cvat", spoil=spoil, outcome="listed", says=("annotations.xml",))
        for name, spoil in cvat.items()
    ]
    bad += [
        Bad(
            name="voc: list leads out",
            base="voc",
            spoil=write("ImageSets/Segmentation/train.txt", "../../etc/passwd\nb\n"),
            outcome="listed",
            says=("leads out",),
        ),
        Bad(
            name="voc: list of zeros",
            base="voc",
            spoil=write("ImageSets/Segmentation/train.txt", bytes(9)),
            outcome="refused",
            says=("neither photo nor annotation",),
        ),
        Bad(
            name="voc: list no utf-8",
            base="voc",
            spoil=write("ImageSets/Segmentation/train.txt", b"\xff\n"),
            outcome="refused",
            says=("train.txt",),
        ),
        Bad(
            name="voc: mask cut",
            base="voc",
            spoil=cut("SegmentationClass/a.png"),
            outcome="listed",
            says=("a.png",),
        ),
        Bad(
            name="voc: mask empty",
            base="voc",
            spoil=write("SegmentationClass/a.png", b""),
            outcome="listed",
            says=("a.png",),
        ),
        Bad(
            name="cvat: a bomb of entities",
            base="cvat",
            spoil=write(file, _XML_BOMB + "<annotations>&j;</annotations>"),
            outcome="refused",
            says=("annotations.xml",),
            options=("data.format=cvat", "data.annotations=annotations.xml"),
        ),
        Bad(
            name="cvat: another root",
            base="cvat",
            spoil=write(file, "<html/>"),
            outcome="refused",
            says=("annotations.xml",),
            options=("data.format=cvat", "data.annotations=annotations.xml"),
        ),
    ]
    return bad


BAD = [*_yolo(), *_markup()]
