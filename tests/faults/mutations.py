"""Files as a fault or a hostile hand leaves them: changed in their bytes, or in what they say."""

from __future__ import annotations

import copy
import io
import json
import random
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable
from typing import Any

import torch
import yaml

SCRAPS = (
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"<",
        b"&",
        b"]]>",
        b"../",
        b"//x",
        b"/",
        b"~",
    ),
    *(b"NaN", b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"9" * 30, b"9" * 400, b"9" * 5000),
    *(b"x" * 300, b" ", b"\n", b":", b"- ", b"&a [*a]", b"*a", b"!!python/object:x", b"\xc2\xb2", b'"\\ud800"'),
    *(b"[" * 2000, b'{"a":' * 2000, b"<a>" * 2000, b"- " * 2000, b"%", b"#", b"!!timestamp 1", b"!!binary x"),
)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def odd_values() -> tuple[Any, ...]:
    """Values that no field expects."""
    return (
        *(None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, 10**30, 10**308, 10**320, 10**5, 10**9),
        *(float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 0.5, -0.0),
        *(
            "",
            " ",
            ".",
            "..",
            "/",
            "//x",
            "../a.jpg",
            "/etc/passwd",
            "a" * 300,
            "\ud800",
            "\udce9",
            "²",
            "1e400",
        ),
        *(
            "NaN",
            "0",
            "-1",
            "9" * 400,
            "\x00",
            "a\nb",
            "C:\\x",
            "%00",
            "?d=",
            "[a]",
            "{}",
            "data:image/png;base64,x",
        ),
        *([], {}, [[]], [{}], {"a": 1}, [None], [1, 2], ["a", "b"], [[1, 2], [3, 4]], {"size": [10**5, 10**5]}),
        *({"size": [32, 48], "counts": "xyz"}, {"size": ["a", 10**12], "counts": [1]}, [[1e9, 1, 2, 3, 4, 5]]),
        *(
            {"size": [32, 48], "counts": [10**6, 1]},
            {"size": [32, 48], "counts": [-1, 1537]},
            _deep(40),
            _deep(400),
        ),
        *(
            [1.5] * 7,
            [float("nan")] * 4,
            ["1", "2", "3", "4"],
            [True] * 4,
            [10**400] * 4,
            {"1": {"2": {"3": []}}},
        ),
    )


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [place for key, inner in value.items() for place in _places(inner, (*path, key))]
    elif isinstance(value, list) and len(path) < 12:
        found += [place for key, inner in enumerate(value) for place in _places(inner, (*path, key))]
    return found


def change_tree(content: Any, chance: random.Random) -> Any:
    """A tree of lists and mappings with a few of its values replaced, removed, repeated or renamed."""
    content = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.choice(_places(content))
        if not place:
            if chance.random() < 0.1:
                content = copy.deepcopy(chance.choice(odd_values()))
            continue
        *above, key = place
        holder = content
        for step in above:
            holder = holder[step]
        how = chance.random()
        if how < 0.6:
            holder[key] = copy.deepcopy(chance.choice(odd_values()))
        elif how < 0.7:
            del holder[key]
        elif how < 0.8 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif how < 0.9 and isinstance(holder, dict):
            holder[str(chance.choice(odd_values()))[:400]] = holder.pop(key)
        else:
            other = content
            for step in chance.choice(_places(content)):
                other = other[step]
            holder[key] = copy.deepcopy(other)
    return content


def change_bytes(content: bytes, chance: random.Random) -> bytes:
    """A file cut short, with bytes flipped, or with parts put in, left out or repeated."""
    if chance.random() < 0.15:
        return content[: chance.randrange(len(content) + 1)]
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        start = chance.randrange(len(damaged) + 1)
        how = chance.random()
        if how < 0.3 and start < len(damaged):
            damaged[start] = chance.randrange(256)
        elif how < 0.7:
            damaged[start : start + chance.choice((0, 1, 3, 20))] = chance.choice(SCRAPS)
        elif how < 0.85:
            del damaged[start : start + chance.choice((1, 4, 40))]
        else:
            damaged[start:start] = damaged[start : start + chance.choice((4, 40, 400))]
    return bytes(damaged)


def change_json(content: bytes, chance: random.Random) -> bytes:
    """JSON that says something odd."""
    return json.dumps(change_tree(json.loads(content), chance)).encode()


def change_yaml(content: bytes, chance: random.Random) -> bytes:
    """YAML that says something odd."""
    changed, plain = change_tree(yaml.safe_load(content), chance), chance.random() < 0.5
    try:
        made = yaml.safe_dump(changed, allow_unicode=plain)
    except RecursionError:
        made = json.dumps(changed)  # which is YAML, too
    return made.encode(errors="surrogatepass")


def change_xml(content: bytes, chance: random.Random) -> bytes:
    """XML of which texts, attributes and elements are odd, missing or repeated."""
    top = ET.fromstring(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        node = chance.choice(list(top.iter()))
        odd = "".join(c for c in str(chance.choice(odd_values()))[:5000] if c.isprintable() and c < "\ud800")
        how = chance.random()
        if how < 0.3 and node.attrib:
            node.set(chance.choice(list(node.attrib)), odd)
        elif how < 0.4 and node.attrib:
            del node.attrib[chance.choice(list(node.attrib))]
        elif how < 0.7:
            node.text = odd
        elif how < 0.8 and len(node):
            node.remove(chance.choice(list(node)))
        elif how < 0.9 and len(node):
            node.append(copy.deepcopy(chance.choice(list(node))))
        else:
            node.tag = chance.choice(
                ("object", "bndbox", "mask", "box", "skeleton", "x", "track", "annotations")
            )
    return ET.tostring(top)


def change_lines(content: bytes, chance: random.Random) -> bytes:
    """Lines of words with some of them odd."""
    lines = content.decode().splitlines()
    for _ in range(chance.choice((1, 1, 2, 4))):
        odd = str(chance.choice(odd_values()))[:5000]
        if not lines or chance.random() < 0.2:
            lines.insert(chance.randrange(len(lines) + 1), odd)
            continue
        place = chance.randrange(len(lines))
        words = lines[place].split(" ")
        words[chance.randrange(len(words))] = odd
        lines[place] = " ".join(words)
    return "\n".join(lines).encode(errors="surrogatepass")


BY_SUFFIX: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": change_json,
    ".yaml": change_yaml,
    ".xml": change_xml,
    ".txt": change_lines,
    ".data": change_lines,
    ".names": change_lines,
    ".csv": change_lines,
}


def change_file(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """A file of this suffix, changed in what it says or, as any file can be, in its bytes."""
    if suffix in BY_SUFFIX and chance.random() < 0.7:
        changed = BY_SUFFIX[suffix](content, chance)
        return changed if chance.random() < 0.95 else change_bytes(changed, chance)
    return change_bytes(content, chance)


def change_safetensors(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """Safetensors with another header, another description of boxseg in it, or other bytes."""
    length = int.from_bytes(content[:8], "little")
    head, tensors = content[8 : 8 + length], content[8 + length :]
    how = chance.random()
    if how < 0.2:
        return change_bytes(content, chance)
    if how < 0.5:
        head = change_json(head, chance)
    else:
        said = json.loads(head)
        inner = change_json(said["__metadata__"]["boxseg"].encode(), chance).decode(errors="replace")
        said["__metadata__"]["boxseg"] = inner
        head = json.dumps(said).encode()
    return len(head).to_bytes(8, "little") + head + tensors


def change_saved(content: bytes, suffix: str, chance: random.Random) -> bytes:
    """What torch.save wrote, with other values, other bytes in a part with its checksum, or any other bytes."""
    how, changed = chance.random(), io.BytesIO()
    if how < 0.2:
        return change_bytes(content, chance)
    if how < 0.6:
        said = change_tree(torch.load(io.BytesIO(content), weights_only=True), chance)
        if isinstance(said, dict) and chance.random() < 0.1:
            said[chance.choice([*said, "model"])] = said
        torch.save(said, changed)
        return changed.getvalue()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        names = old.namelist()
        pickled = [name for name in names if name.endswith("data.pkl")]
        spoiled = chance.choice([*names, *pickled * len(names)])
        for name in names:
            part = old.read(name)
            new.writestr(name, change_bytes(part, chance) if name == spoiled else part)
    return changed.getvalue()
