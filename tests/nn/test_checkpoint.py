from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from boxseg.errors import CheckpointError
from boxseg.nn import checkpoint

META = {"kind": "segmenter", "classes": ["Katze", "Hündin", "猫"], "model": {"stride": 16, "weights": None}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn(3, 4, generator=generator),
        "a.half": torch.randn(5, generator=generator).half(),
        "style": torch.tensor(True),
        "order": torch.tensor([2, 1, 0]),
        "empty": torch.empty(0, 3),
    }


def test_round_trip_keeps_values_types_and_names(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.safetensors"
    checkpoint.save(path, tensors(), META)
    meta, state = checkpoint.load(path)
    assert meta == META
    assert checkpoint.read_meta(path) == META
    assert state.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


@given(extra=st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_comes_back(tmp_path_factory: pytest.TempPathFactory, extra: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    meta = {**extra, "kind": "box-classifier"}
    checkpoint.save(path, {}, meta)
    assert checkpoint.load(path) == (meta, {})


def test_same_network_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.safetensors", tensors(), META)
    backwards = dict(reversed(tensors().items()))
    checkpoint.save(tmp_path / "b.safetensors", backwards, dict(reversed(META.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_shared_and_transposed_tensors_are_written(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    checkpoint.save(tmp_path / "m.safetensors", {"a": base, "b": base, "t": base.T}, META)
    _, state = checkpoint.load(tmp_path / "m.safetensors")
    assert torch.equal(state["a"], base)
    assert torch.equal(state["b"], base)
    assert torch.equal(state["t"], base.T)


@pytest.mark.parametrize("bad", [{}, {"kind": "teapot"}, {"kind": "segmenter", "x": {1, 2}}])
def test_unusable_meta_is_refused_and_nothing_is_written(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="of a checkpoint"):
        checkpoint.save(tmp_path / "m.safetensors", tensors(), bad)
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save(tmp_path / "m.safetensors", tensors(), {**META, "x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, tensors(), META)
    before = path.read_bytes()

    def full_disk(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {}, META)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_bytes() == before


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent.*no file.*model\.safetensors"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="a folder there"):
        checkpoint.load(tmp_path)

    torch.save({"w": torch.zeros(3)}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        checkpoint.load(tmp_path / "m.pth")

    safetensors.torch.save_file({"w": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=r"not written by boxseg.*model\.weights"):
        checkpoint.load(tmp_path / "foreign.safetensors")

    header = json.dumps({"version": 99, "meta": META})
    safetensors.torch.save_file({}, tmp_path / "future.safetensors", metadata={"boxseg": header})
    with pytest.raises(CheckpointError, match="upgrade boxseg"):
        checkpoint.load(tmp_path / "future.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_a_clear_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, tensors(), META)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_the_other_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, {}, {"kind": "box-classifier"})
    assert checkpoint.load(path, "box-classifier")[0]["kind"] == "box-classifier"
    expected = "checkpoint .*model.safetensors holds a box classifier; a segmentation network is needed"
    with pytest.raises(CheckpointError, match=expected):
        checkpoint.load(path, "segmenter")
