"""Exported networks beside the original, as users call them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import boxseg
from boxseg.cli import execute
from boxseg.config import Classify, Model, Segment
from boxseg.data.toy import painted_photos
from boxseg.errors import BoxsegError, CheckpointError, ConfigError, ExportError, MissingExtraError
from boxseg.inference.export_formats import FORMATS
from boxseg.inference.networks import save_network, start_segmenter
from boxseg.jobs import ExportJob
from boxseg.nn.deeplab import LargeFOV, Segmenter, build_classifier
from boxseg.nn.portable import PortableSegmenter
from boxseg.palette import voc_palette
from boxseg.stages import export
from boxseg.stages.export import TOLERANCE, choose_format
from small_networks import Edges

pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

CLASSES = ("cat", "dog", "Kuh")


def write_checkpoint(folder: Path, **model: Any) -> Path:
    """A run folder with a network that has learnt nothing but says something else in every place."""
    options = Model(**model)
    network, _ = start_segmenter(options, len(CLASSES), 0)
    # Random class vectors are all about as near to a feature; those of the signs of its channels are not.
    nn.init.orthogonal_(network.classifier.weight, generator=torch.Generator().manual_seed(1))
    save_network(folder / "model.safetensors", network, classes=CLASSES, model=options, options=Segment())
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def onnx_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default network as ONNX, by the command as users type it."""
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert execute(["export", f"checkpoint={run_folder}", f"out={file}"]) == 0
    return file


@pytest.mark.parametrize(
    "size",
    [(1, 1, 1), (1, 2, 40), (2, 17, 17), (3, 16, 33), (1, 250, 123)],
    ids=lambda size: "x".join(map(str, size)),
)
def test_an_onnx_file_gives_the_networks_probabilities_at_any_size(
    size: tuple[int, int, int], run_folder: Path, onnx_file: Path
) -> None:
    model, exported = boxseg.load(run_folder, device="cpu"), boxseg.OnnxPredictor(onnx_file)
    photos = list(painted_photos(*size))
    for photo, here, there in zip(
        photos, model.predict_many(photos), exported.predict_many(photos), strict=True
    ):
        assert there.probabilities.shape == (4, *size[1:])
        assert np.abs(here.probabilities - there.probabilities).max() < TOLERANCE
        assert np.array_equal(here.labels, there.labels)
        assert np.array_equal(there.image, photo)
        assert there.classes == here.classes == CLASSES
        np.testing.assert_allclose(there.probabilities.sum(0), 1, rtol=1e-5)


def test_an_onnx_file_sees_large_photos_in_the_windows_of_the_network(
    run_folder: Path, onnx_file: Path
) -> None:
    photo = painted_photos(1, 130, 70)[0]
    here = boxseg.load(run_folder, device="cpu", tile=96)(photo)
    for model in (boxseg.OnnxPredictor(onnx_file, tile=96), boxseg.load(onnx_file, tile=96)):
        assert np.abs(here.probabilities - model(photo).probabilities).max() < TOLERANCE
    whole = boxseg.load(run_folder, device="cpu")(photo)
    assert np.abs(here.probabilities - whole.probabilities).max() > TOLERANCE


def test_it_does_so_on_real_photos(shared_data: Path, run_folder: Path, onnx_file: Path) -> None:
    files = sorted((shared_data / "voc2012").rglob("*.jpg"))[:3]
    model, exported = boxseg.load(run_folder, device="cpu"), boxseg.load(onnx_file)
    assert isinstance(exported, boxseg.OnnxPredictor)
    labels = set()
    for file, there in zip(files, exported.predict_many(files), strict=True):
        here = model(file)
        assert np.abs(here.probabilities - there.probabilities).max() < TOLERANCE
        assert (here.labels == there.labels).mean() > 0.999
        labels |= set(np.unique(here.labels).tolist())
    assert len(labels) > 1  # a network that says one thing everywhere would compare nothing


def test_an_onnx_file_describes_itself(onnx_file: Path) -> None:
    import onnx

    model = onnx.load(onnx_file)
    onnx.checker.check_model(model)
    notes = {item.key: item.value for item in model.metadata_props}
    assert json.loads(notes["classes"]) == ["background", *CLASSES]
    assert json.loads(notes["palette"]) == voc_palette(4).tolist()
    (photos,), (probabilities,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in photos.type.tensor_type.shape.dim] == [
        "batch",
        "height",
        "width",
        3,
    ]
    shape = [d.dim_param or d.dim_value for d in probabilities.type.tensor_type.shape.dim]
    assert shape == ["batch", 4, "height", "width"]
    assert photos.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert (photos.name, probabilities.name) == ("photos", "probabilities")


def test_an_onnx_file_runs_where_there_is_no_torch(onnx_file: Path, tmp_path: Path) -> None:
    Image.fromarray(painted_photos(1, 40, 50)[0]).save(tmp_path / "photo.png")
    code = """
import sys
for name in ("torch", "lightning"):
    sys.modules[name] = None  # importing it is an error
import boxseg
for model in (boxseg.OnnxPredictor(sys.argv[1]), boxseg.load(sys.argv[1])):
    prediction = model(sys.argv[2])
    prediction.to_coco(), prediction.overlay(), prediction._repr_png_()
    prediction.save(sys.argv[3])
assert not [name for name in sys.modules if name.startswith("torch.")]
"""
    words = [sys.executable, "-c", code, onnx_file, tmp_path / "photo.png", tmp_path / "labels.png"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = boxseg.OnnxPredictor(onnx_file)(tmp_path / "photo.png").labels
    assert np.array_equal(np.asarray(Image.open(tmp_path / "labels.png")), expected)


def test_the_command_prints_its_check_and_how_to_go_on(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["export", f"checkpoint={run_folder}", f"out={tmp_path}/n.safetensors"]) == 0
    printed = capsys.readouterr().out
    for size in export.SIZES:
        assert " x ".join(map(str, size)) in printed
    assert "uint8 RGB (batch, height, width, 3)" in printed
    # A copy gives no other byte, and so no other label.
    assert (tmp_path / "n.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()
    photo = painted_photos(1, 30, 41)[0]
    here, there = boxseg.load(run_folder)(photo), boxseg.load(tmp_path / "n.safetensors")(photo)
    assert np.array_equal(here.probabilities, there.probabilities)


@pytest.fixture
def small() -> Segmenter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        backbone = Edges()
        return Segmenter(backbone, LargeFOV(8, stride=4, width=8), len(CLASSES)).eval()


@pytest.mark.parametrize("name", ["onnx", "torch-export"])
def test_graphs_hold_for_any_size(name: str, small: Segmenter, run_folder: Path, tmp_path: Path) -> None:
    kind = FORMATS[name]
    file = tmp_path / f"small{kind.suffix}"
    kind.write(file, PortableSegmenter(small), run_folder / "model.safetensors")
    compute = kind.open(file)
    for size in ((1, 1, 1), (1, 3, 4), (2, 5, 5), (3, 37, 64), (1, 130, 75)):
        photos = painted_photos(*size)
        with torch.no_grad():
            cosine = small.upsample(small(torch.from_numpy(photos).permute(0, 3, 1, 2)), size[1:])
            expected = small.logits(cosine).softmax(1).numpy()
        # Without AVX-512 convolutions sum in another order: 1.1e-5 was seen.
        np.testing.assert_allclose(compute(photos), expected, atol=export.TOLERANCE)


def test_a_torch_program_describes_itself(small: Segmenter, run_folder: Path, tmp_path: Path) -> None:
    FORMATS["torch-export"].write(
        tmp_path / "small.pt2", PortableSegmenter(small), run_folder / "model.safetensors"
    )
    notes = {"boxseg.json": ""}
    torch.export.load(tmp_path / "small.pt2", extra_files=notes)
    assert json.loads(json.loads(notes["boxseg.json"])["classes"]) == ["background", *CLASSES]


def test_the_network_that_is_exported_stays_as_it_is(small: Segmenter) -> None:
    small.train()
    small.to(memory_format=torch.channels_last)
    PortableSegmenter(small)
    assert small.training
    assert all(parameter.requires_grad for parameter in small.parameters())
    assert small.backbone.get_submodule("second").weight.is_contiguous(memory_format=torch.channels_last)


def broken(how: str) -> Any:
    """A format whose files compute something else."""
    kind = FORMATS["safetensors"]

    def opened(path: Path) -> Any:
        compute = kind.open(path)
        change = {
            "other values": lambda p: p + np.float32(2 * TOLERANCE),
            "not a number": lambda p: p * np.float32("nan"),
            "other size": lambda p: p[..., :-1],
        }[how]
        return lambda photos: change(compute(photos))

    return replace(kind, open=opened)


@pytest.mark.parametrize("how", ["other values", "not a number", "other size"])
def test_a_file_that_computes_something_else_is_refused(
    how: str, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "safetensors", broken(how))
    with pytest.raises(ExportError):
        boxseg.export(checkpoint=run_folder, out=tmp_path / "n.safetensors")
    assert not list(tmp_path.iterdir())


def test_wrong_words_are_explained(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert execute(["export", f"checkpoint={run_folder}", *words]) == 2
        return capsys.readouterr().err

    assert "no format has the ending .onxx, did you mean '.onnx'?" in said(f"out={tmp_path}/n.onxx")
    assert "no format has the ending (none)" in said(f"out={tmp_path}/n")
    assert "expected one of auto, onnx" in said(f"out={tmp_path}/n.onnx", "format=tflite")
    assert "is the checkpoint itself" in said(f"out={run_folder}/model.safetensors")
    assert not list(tmp_path.iterdir())
    assert choose_format(ExportJob(checkpoint=run_folder, out=Path("m"), format="onnx")) == "onnx"
    assert choose_format(ExportJob(checkpoint=run_folder, out=Path("M.PT2"))) == "torch-export"


def test_a_format_names_the_file(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(["export", f"checkpoint={run_folder.absolute()}", "format=safetensors"]) == 0
    assert (tmp_path / "model.safetensors").is_file()
    with pytest.raises(ConfigError, match="give out=FILE, or format="):
        choose_format(ExportJob(checkpoint=run_folder))


def test_a_classifier_is_no_segmentation_network(tmp_path: Path) -> None:
    network = build_classifier(Model(weights="none"), 3)
    file = tmp_path / "model.safetensors"
    save_network(file, network, classes=CLASSES, model=Model(), options=Classify())
    for use in (boxseg.load, lambda path: boxseg.export(checkpoint=path, out=tmp_path / "n.onnx")):
        with pytest.raises(CheckpointError, match="holds a box classifier; a segmentation network is needed"):
            use(file)


def test_what_is_no_exported_network_is_an_error(onnx_file: Path, tmp_path: Path) -> None:
    import onnx

    with pytest.raises(CheckpointError, match=r"no such file, expected one made by `boxseg export"):
        boxseg.OnnxPredictor("nowhere.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(CheckpointError, match="onnxruntime cannot load it"):
        boxseg.OnnxPredictor(tmp_path / "text.onnx")
    foreign = onnx.load(onnx_file)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="was not written by `boxseg export`"):
        boxseg.OnnxPredictor(tmp_path / "foreign.onnx")
    with pytest.raises(ConfigError, match="tta, crf and device are for checkpoints"):
        boxseg.load(onnx_file, crf=True)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line_with_the_command(
    package: str, run_folder: Path, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingExtraError, match=rf"needs the package {package} .*: pip install 'boxseg\[onnx\]'"
    ):
        boxseg.export(checkpoint=run_folder, out=tmp_path / "n.onnx")
    if package == "onnxruntime":
        with pytest.raises(MissingExtraError, match=r"pip install 'boxseg\[onnx\]'"):
            boxseg.OnnxPredictor(onnx_file)


def test_load_takes_scales_flip_and_crf_as_predict_does(run_folder: Path, tmp_path: Path) -> None:
    Image.fromarray(painted_photos(1, 48, 65)[0]).save(tmp_path / "photo.png")

    def predicted(*words: str) -> np.ndarray:
        paths = (f"checkpoint={run_folder}", f"images={tmp_path}/photo.png", f"out={tmp_path}/{len(words)}")
        assert execute(["predict", *paths, "trainer.workers=0", *words]) == 0
        return np.asarray(Image.open(tmp_path / str(len(words)) / "confidence" / "photo.png"))

    def loaded(**options: Any) -> np.ndarray:
        return np.rint(255 * boxseg.load(run_folder, **options)(tmp_path / "photo.png").confidence)

    plain, both = loaded(), loaded(tta=True, crf=True)
    assert np.array_equal(predicted("tta=false", "crf=off"), plain)
    assert np.array_equal(predicted(), both)
    assert not np.array_equal(plain, both)
    assert np.array_equal(loaded(crf=boxseg.config.Crf(iterations=0)), plain)


def test_a_folder_of_all_stages_has_its_network(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "segment").mkdir()
    (tmp_path / "segment" / "model.safetensors").write_bytes((run_folder / "model.safetensors").read_bytes())
    assert boxseg.load(tmp_path).classes == CLASSES
    with pytest.raises(BoxsegError, match=r"model\.safetensors"):
        boxseg.load(tmp_path / "nowhere")


@pytest.mark.parametrize("number", range(3))
def test_the_python_of_the_documentation_runs(
    number: int, run_folder: Path, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "predict.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "model.safetensors").write_bytes((run_folder / "model.safetensors").read_bytes())
    (tmp_path / "model.onnx").write_bytes(onnx_file.read_bytes())
    Image.fromarray(painted_photos(1, 60, 71)[0]).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(blocks[number], {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [{"backbone": name} for name in ("vgg16", "resnet50", "resnet101")]
    + [{"backbone": "vgg16", "head": "aspp"}],
    ids=lambda model: "-".join(model.values()),
)
def test_every_backbone_is_exported(model: dict[str, str], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "run", weights="none", **model)
    for suffix in (".onnx", ".pt2"):
        done = boxseg.export(checkpoint=folder, out=tmp_path / f"model{suffix}")
        assert all(part.passed for part in done.parity)


@pytest.mark.slow
def test_the_default_backbone_is_exported_as_a_torch_program(run_folder: Path, tmp_path: Path) -> None:
    assert execute(["export", f"checkpoint={run_folder}", f"out={tmp_path}/model.pt2"]) == 0
