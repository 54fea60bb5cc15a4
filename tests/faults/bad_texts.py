"""YAML, lists and XML of YOLO, VOC and CVAT that say what nobody expects."""

from __future__ import annotations

from bad import Bad, cut, listed, refused, swap, write

_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)
_ENTITIES = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
_XML_BOMB = f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{_ENTITIES}]>'


def _yolo_descriptions() -> list[Bad]:
    texts = {
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
    return [
        refused(f"yolo: {text[:60]!r}", "yolo", write("data.yaml", text), *says) for text, says in texts.items()
    ]


def _yolo_lines() -> list[Bad]:
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
    return [
        listed(f"yolo: line {line[:40]!r}", "yolo", write("labels/train/a.txt", line + "\n"), "a.txt", says)
        for line, says in lines.items()
    ]


def _yolo_lists() -> list[Bad]:
    entries = {
        "/etc/passwd": "outside",
        "../secret.jpg": "secret",
        "//x": "photo",
        "\x00": "photo",
        "x" * 5000: "photo",
    }
    old = "images/train/a.jpg"
    return [
        listed(f"yolo list: {line[:30]!r}", "yolo_list", swap("train.txt", old, line), "train.txt", says)
        for line, says in entries.items()
    ]


def _darknet() -> list[Bad]:
    names = swap("obj.data", "obj.names", "/etc/passwd")
    return [
        refused("darknet: names of another file", "darknet", names, "obj.data"),
        refused("darknet: no names", "darknet", write("obj.names", ""), "obj.data"),
    ]


def _voc() -> list[Bad]:
    xml, ids = "Annotations/a.xml", "ImageSets/Segmentation/train.txt"
    spoiled = {
        "corner NaN": swap(xml, "<xmin>5<", "<xmin>nan<"),
        "corner 1e400": swap(xml, "<xmin>5<", "<xmin>1e400<"),
        "corner of 400 digits": swap(xml, "<xmin>5<", f"<xmin>{'9' * 400}<"),
        "corner a word": swap(xml, "<xmin>5<", "<xmin>left<"),
        "no corner": swap(xml, "<xmin>5</xmin>", ""),
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
    return [
        *(listed(f"voc: {name}", "voc", spoil, "a.xml") for name, spoil in spoiled.items()),
        listed("voc: list leads out", "voc", write(ids, "../../etc/passwd\nb\n"), "leads out"),
        refused("voc: list of zeros", "voc", write(ids, bytes(9)), "neither photo nor annotation"),
        refused("voc: list no utf-8", "voc", write(ids, b"\xff\n"), "train.txt"),
        listed("voc: mask cut", "voc", cut("SegmentationClass/a.png"), "a.png"),
        listed("voc: mask empty", "voc", write("SegmentationClass/a.png", b""), "a.png"),
    ]


def _cvat() -> list[Bad]:
    file = "annotations.xml"
    spoiled = {
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
    named = ("data.format=cvat", f"data.annotations={file}")
    bomb = write(file, _XML_BOMB + "<annotations>&j;</annotations>")
    return [
        *(listed(f"cvat: {name}", "cvat", spoil, file) for name, spoil in spoiled.items()),
        refused("cvat: a bomb of entities", "cvat", bomb, file, options=named),
        refused("cvat: another root", "cvat", write(file, "<html/>"), file, options=named),
    ]


BAD = [*_yolo_descriptions(), *_yolo_lines(), *_yolo_lists(), *_darknet(), *_voc(), *_cvat()]
