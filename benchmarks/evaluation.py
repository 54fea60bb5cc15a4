"""Time multi-scale, mirrored evaluation with a CRF, beside its network alone and its CRF alone.

    python benchmarks/evaluation.py --data DIR                  # DIR: VOCdevkit/VOC2012
    python benchmarks/evaluation.py --data DIR --checkpoint FILE

`forwards` is the network on photos scaled before, `CRF` the CRF on given probabilities; `boxseg` is all that
`boxseg evaluate` does: JPEG, scaling, both, labels, confusion matrices. Without a checkpoint the network is
random: every pixel is undecided and no class absent, which makes the CRF slow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from boxseg.config import Evaluate, Model, Segment, TrainerOptions
from boxseg.dataset import BoxDataset
from boxseg.formats.images import read_image
from boxseg.inference.multiscale import network_probabilities
from boxseg.inference.networks import Loaded, load_segmenter, save_network, start_segmenter
from boxseg.inference.refine import refine
from boxseg.nn.deeplab import Segmenter
from boxseg.scoring.network_scores import score_network
from measure import alternate, parser, photos, settings, table


def segmenter(
    backbone: str, checkpoint: Path | None, classes: tuple[str, ...], folder: Path
) -> Loaded[Segmenter]:
    """The network of a checkpoint, or an untrained one."""
    if checkpoint is None:
        model = Model(backbone=backbone, weights="default" if backbone == "efficientnet_lite0" else "none")
        network, _ = start_segmenter(model, len(classes), 0)
        checkpoint = folder / "model.safetensors"
        save_network(checkpoint, network, classes=classes, model=model, options=Segment())
    return load_segmenter(checkpoint, torch.device("cpu"))


def works(loaded: Loaded[Segmenter], dataset: BoxDataset, options: Evaluate) -> dict[str, Callable[[], object]]:
    """What is timed."""
    images = [torch.from_numpy(read_image(sample.image)) for sample in dataset.samples]
    views = []
    for image in images:
        photo = image.permute(2, 0, 1)[None].float()
        for scale in options.scales:
            size = (round(image.shape[0] * scale), round(image.shape[1] * scale))
            scaled = F.interpolate(photo, size, mode="bilinear", antialias=scale < 1)
            views.append(torch.cat([scaled, scaled.flip(-1)]) if options.flip else scaled)
    probabilities = [network_probabilities(loaded, image, options) for image in images]

    @torch.inference_mode()
    def forwards() -> None:
        for view in views:
            loaded.network(view)

    return {
        "forwards": forwards,
        "crf": lambda: refine(options.crf, images, probabilities),
        "boxseg": lambda: score_network(loaded, dataset, options, TrainerOptions(workers=0)),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the table."""
    command = parser(__doc__)
    command.add_argument("--photos", type=int, default=4, help="photos in each repetition")
    command.add_argument("--checkpoint", type=Path, help="segmentation network; otherwise a random one")
    command.add_argument("--backbone", default="efficientnet_lite0")
    options = command.parse_args(words)
    if options.smoke:
        options.photos = 1
    evaluate = Evaluate(scales=(1.0, 0.5)) if options.smoke else Evaluate()
    with settings(options), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = photos(options.data, options.photos, folder / "photos", options.smoke)
        loaded = segmenter(options.backbone, options.checkpoint, dataset.classes, folder)
        cost = alternate(works(loaded, dataset, evaluate), options.repetitions, len(dataset))
    rows = []
    for clock in ("wall", "cpu"):
        network, crf, whole = (float(getattr(cost[part], clock)) for part in ("forwards", "crf", "boxseg"))
        rows.append((clock, network, crf, whole, whole / (network + crf)))
    scales = ", ".join(f"{scale:g}" for scale in evaluate.scales)
    print(f"Milliseconds a photo, {len(dataset)} photos, scales {scales}, mirrored:\n")
    print(table(("clock", "forwards", "CRF", "boxseg", "boxseg / (forwards + CRF)"), rows))


if __name__ == "__main__":
    main()
