"""Labels by SAM and SAM 2, beside the networks asked the plain way."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

import boxseg
from boxseg import formats
from boxseg.config import Data, Label
from boxseg.errors import BoxsegError, CheckpointError
from boxseg.formats.images import read_image
from boxseg.jobs import LabelJob
from boxseg.labelling import from_sam
from boxseg.labelling.methods import METHODS
from tiny_sam import SIDE, write_sam


def make_sam(folder: Path, root: Path) -> Any:
    job = LabelJob(data=Data(root=root), out=folder / "o", label=Label(method="sam", sam=str(folder)))
    return METHODS["sam"](job, formats.load(job.data))


def plain_sam2(network: Any, photo: NDArray[np.uint8], boxes: torch.Tensor) -> torch.Tensor:
    """Logits (n, H, W) of SAM 2 as its paper's code asks for them, a box at a time."""
    height, width = photo.shape[:2]
    small = np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) / 255.0
    normal = (small - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = torch.from_numpy(normal).permute(2, 0, 1)[None].float()
    found = []
    for box in boxes:
        prompt = box * torch.tensor([SIDE / width, SIDE / height] * 2)
        answer = network(pixel_values=pixels, input_boxes=prompt[None, None], multimask_output=False)
        found.append(F.interpolate(answer.pred_masks[0], (height, width), mode="bilinear")[0, 0])
    return torch.stack(found)


def plain_sam(network: Any, photo: NDArray[np.uint8], boxes: torch.Tensor) -> torch.Tensor:
    """Logits (n, H, W) of SAM by transformers' own preparation of photos and boxes, and its own way back."""
    from transformers import SamProcessor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    sizes = {"size": {"longest_edge": SIDE}, "pad_size": {"height": SIDE, "width": SIDE}}
    processor = SamProcessor(SamImageProcessorPil(**sizes))
    inputs = processor(images=Image.fromarray(photo), input_boxes=[boxes.tolist()], return_tensors="pt")
    answer = network(
        pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"].float(), multimask_output=False
    )
    masks = processor.image_processor.post_process_masks(
        answer.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"],
        binarize=False, pad_size={"height": SIDE, "width": SIDE},
    )  # fmt: skip
    return torch.as_tensor(masks[0])[:, 0]


@pytest.mark.parametrize("kind", ["sam", "sam2"])
@torch.inference_mode()
def test_masks_are_those_of_the_network_asked_the_plain_way(kind: str, root: Path, tmp_path: Path) -> None:
    """70 boxes are asked for in three batches, for one encoding of the photo."""
    network = write_sam(tmp_path, kind)
    method = make_sam(tmp_path, root)
    rng = np.random.default_rng(3)
    photo = np.asarray(Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((101, 77), 2))
    corners = np.sort(rng.uniform(0, 1, (70, 2, 2)), axis=1).reshape(70, 4) * [101, 77, 101, 77]
    boxes = torch.from_numpy(corners.astype(np.float32))
    encoded = []
    hook = method.network.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
    groups = list(method.mask_logits(torch.from_numpy(photo.copy()), boxes))
    hook.remove()
    assert [len(group) for group in groups] == [32, 32, 6]
    assert len(encoded) == 1
    ours = torch.cat(groups)
    expected = (plain_sam if kind == "sam" else plain_sam2)(network, photo, boxes)
    assert ours.shape == expected.shape == (70, 77, 101)
    # Pillow rounds the resized photo to whole levels.
    scale = expected.abs().max()
    torch.testing.assert_close(ours / scale, expected / scale, atol=0.02, rtol=0)
    assert (ours - ours[:1]).abs().max() > 0.1 * scale  # the network does listen to its prompts


@torch.inference_mode()
def test_a_sam_network_can_be_sent_to_another_process_and_device(root: Path, sam_folder: Path) -> None:
    method = make_sam(sam_folder, root)
    sample = formats.load(Data(root=root)).samples[0]
    photo = read_image(sample.image)
    expected = method.score(sample, photo)
    for other in (pickle.loads(pickle.dumps(method)), method.on(torch.device("cpu"))):
        torch.testing.assert_close(other.score(sample, photo).probabilities, expected.probabilities)
    assert method.on(torch.device("meta")).device.type == "meta"
    bare = formats.load(Data(root=root)).samples[0]
    object.__setattr__(bare, "boxes", bare.boxes[:0])
    object.__setattr__(bare, "labels", bare.labels[:0])
    assert torch.equal(method.score(bare, photo).probabilities, torch.ones(1, *photo.shape[:2]))


def test_sam_checkpoints_that_cannot_be_used(
    root: Path, tmp_path: Path, sam_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    with pytest.raises(CheckpointError, match=r"label\.sam=.*nowhere.*hub"):
        make_sam(tmp_path / "nowhere", root)
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="a model of type bert; expected one of sam, sam2"):
        make_sam(tmp_path / "bert", root)
    words = {"method": "sam", "data": root, "out": tmp_path / "l", "workers": 0}
    boxseg.label(sam=str(sam_folder), **words)
    weights = sam_folder / "model.safetensors"
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[:-4] + b"\x00\x00\x80\x3f")
        with pytest.raises(BoxsegError, match="sam changed"):
            boxseg.label(sam=str(sam_folder), **words)
    finally:
        weights.write_bytes(content)


def test_a_photo_of_a_single_row_is_prepared() -> None:
    for height, width in ((1, 3000), (3000, 1)):
        prepared, size = from_sam.prepare(torch.zeros(height, width, 3, dtype=torch.uint8), 1024, False)
        assert (prepared.shape, size) == ((1, 3, 1024, 1024), (min(height, 1024), min(width, 1024)))
