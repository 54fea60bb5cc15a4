"""Files given as weights that are something else: what they are, and no advice to run code from them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from boxseg.errors import CheckpointError
from boxseg.nn.weights.files import read_state


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_state(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a weight file (a state dict of plain tensors is expected): ")
    assert "\n" not in message
    assert "weights_only" not in message
    return message


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 53\n", "by `git lfs pull`"),
        (b"\n<!DOCTYPE html>\n<html>404</html>", "it is a web page"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "it is a JPEG"),
        (b"\x89PNG\r\n\x1a\n", "it is a PNG"),
    ],
)
def test_other_files_are_called_by_their_name(content: bytes, what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert what in refusal(path)


@pytest.mark.parametrize("content", [b"error: not found\n", b"epoch 1\nloss 2\n", b"0\n1\n", b"weights", b""])
def test_a_text_is_none(content: bytes, tmp_path: Path) -> None:
    """Pickle reads letters as commands, and ends in errors of any kind: KeyError, IndexError, struct.error …"""
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert "it is neither safetensors nor what torch.save writes" in refusal(path)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("content", [b"\x80\x02c%s\nname\n.", b"\x80\x02X%s%s)R."])
def test_words_that_torch_would_take_hours_to_quote(
    content: bytes, archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch searches its message about an unknown name with an expression of square time."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch was asked"))
    path, word = tmp_path / "weights.pth", b"x" * 1_000_000
    pickled = content % ((word,) if content.count(b"%s") == 1 else (len(word).to_bytes(4, "little"), word))
    if archive:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("weights/data.pkl", pickled)
    else:
        path.write_bytes(pickled)
    refusal(path)


def test_long_texts_are_read(tmp_path: Path) -> None:
    """Other programs keep their options as one text beside the weights."""
    path = tmp_path / "weights.pth"
    torch.save({"config": "model = 1 " * 10_000, "state_dict": {"w": torch.zeros(2)}}, path)
    assert list(read_state(path)) == ["w"]


def test_a_file_that_holds_itself_ends(tmp_path: Path) -> None:
    path, content = tmp_path / "weights.pth", {"w": torch.zeros(2)}
    content["model"] = content  # type: ignore[assignment]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_state(path)


@pytest.mark.parametrize("older", [True, False])
def test_a_file_cut_short_is_to_be_fetched_again(older: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"w": torch.zeros(900)}, path, _use_new_zipfile_serialization=not older)
    assert list(read_state(path)) == ["w"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "it is damaged or cut short; fetch it again" in refusal(path)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("victim",))


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("content", [torch.nn.Linear(2, 2), Malicious()])
def test_other_objects_are_never_advised_to_be_loaded(
    content: Any, older: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=not older)
    assert "other objects, which could run code; save the network's state_dict() alone" in refusal(
        tmp_path / "weights.pth"
    )
    assert not (tmp_path / "victim").exists()
