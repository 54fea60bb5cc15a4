"""The public modules in a plain Trainer, and callbacks and loggers of a caller's own in the verbs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger

import boxseg
from boxseg.api import _split_lightnings
from boxseg.config import Model
from boxseg.errors import ConfigError
from boxseg.training.data_module import StreamDataModule

STEPS = 3
SMALL: dict[str, Any] = {"batch": 4, "crop": 49, "workers": 0, "seed": 5}


class Losses(Callback):
    """The loss of every step, and what the others know of it."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(outputs["loss"].item())
        assert trainer.callback_metrics["loss"].item() == self.values[-1]


def plainly(module: L.LightningModule, data: L.LightningDataModule, folder: Path) -> list[float]:
    """The losses of a Trainer that knows nothing of boxseg."""
    seen = Losses()
    with torch.random.fork_rng():
        trainer = L.Trainer(
            max_steps=STEPS,
            accelerator="cpu",
            callbacks=[seen],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
        )
        trainer.fit(module, datamodule=data)
    assert trainer.global_step == STEPS
    return seen.values


def recorded(folder: Path) -> list[float]:
    with (folder / "history.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_a_segmenter_is_trained_as_by_its_verb(toy: Path, tmp_path: Path) -> None:
    """A pass over the photos ends between the steps; the verb takes callbacks and loggers."""
    seen, curves = Losses(), CSVLogger(tmp_path / "curves")
    data = {"root": toy, "val_split": ""}
    boxseg.segment(
        data=data, labels="ground-truth", out=tmp_path / "verb", iterations=STEPS, weights="none", loss="er",
        callbacks=[seen], loggers=["csv", curves], **SMALL,
    )  # fmt: skip
    module = boxseg.SegmenterModule(
        classes=5, iterations=STEPS, loss="er", model=Model(weights="none"), seed=SMALL["seed"]
    )
    images = boxseg.LabelDataModule(data, "ground-truth", **SMALL)
    losses = plainly(module, images, tmp_path)
    assert losses == seen.values
    assert losses == pytest.approx(recorded(tmp_path / "verb"), rel=1e-5)
    rows = list(csv.DictReader(next((tmp_path / "curves").rglob("metrics.csv")).open()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3]  # each once
    module.save(tmp_path / "plain.safetensors", images.classes)
    one, other = (boxseg.load(path) for path in (tmp_path / "plain.safetensors", tmp_path / "verb"))
    photo = torch.randint(0, 256, (50, 40, 3), dtype=torch.uint8).numpy()
    assert (one(photo).probabilities == other(photo).probabilities).all()


def test_a_box_classifier_is_trained_as_by_its_verb(toy: Path, tmp_path: Path) -> None:
    boxseg.classify(data=toy, out=tmp_path / "verb", iterations=STEPS, weights="none", **SMALL)
    module = boxseg.BoxClassifierModule(
        classes=5, iterations=STEPS, model=Model(weights="none"), seed=SMALL["seed"]
    )
    losses = plainly(module, boxseg.BoxDataModule(toy, **SMALL), tmp_path)
    assert losses == pytest.approx(recorded(tmp_path / "verb"), rel=1e-5)


def test_accumulating_is_the_whole_batch(toy: Path, tmp_path: Path) -> None:
    losses = []
    for parts in (1, 2):
        module = boxseg.BoxClassifierModule(
            classes=5, iterations=STEPS, model=Model(weights="none"), accumulate=parts
        )
        losses.append(plainly(module, boxseg.BoxDataModule(toy, **SMALL), tmp_path))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_misspelt_options_are_named(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'data\.split'"):
        boxseg.BoxDataModule({"root": toy, "splti": "val"})
    with pytest.raises(ConfigError, match=r"unknown segment\.loss=nall, did you mean 'nal'"):
        boxseg.SegmenterModule(classes=2, iterations=1, loss="nall")
    with pytest.raises(ConfigError, match="did you mean 'vgg16'"):
        boxseg.BoxClassifierModule(classes=2, iterations=1, backbone="vgg17")


def test_lightning_may_not_share_out_again(toy: Path) -> None:
    """What each process loads is its share already."""
    images: StreamDataModule = boxseg.BoxDataModule(toy, **SMALL)

    class Connector:
        use_distributed_sampler = True

    class Two:
        world_size, global_rank, _accelerator_connector = 2, 1, Connector

    images.trainer = Two  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"give lightning\.Trainer use_distributed_sampler=False"):
        images.train_dataloader()
    Connector.use_distributed_sampler = False
    assert images.train_dataloader().batch_size == SMALL["batch"] // 2


def test_objects_of_another_kind_are_refused(toy: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"data": toy, "out": tmp_path, "iterations": 1, "weights": "none", **SMALL}
    with pytest.raises(
        ConfigError, match=r"callbacks: expected objects of lightning\.pytorch's Callback, got a "
    ):
        boxseg.classify(**words, callbacks=[print])
    with pytest.raises(ConfigError, match=r"loggers: expected objects of lightning\.pytorch's Logger, got a "):
        boxseg.classify(**words, loggers=[Losses()])
    with pytest.raises(ConfigError, match="unknown option 'callbacks'"):
        boxseg.label(data=toy, out=tmp_path, callbacks=[Losses()])


def test_callbacks_for_several_processes_must_be_picklable(toy: Path, tmp_path: Path) -> None:
    class Local(Losses):
        pass

    words: dict[str, Any] = {"data": toy, "out": tmp_path, "iterations": 1, "weights": "none", **SMALL}
    with pytest.raises(
        ConfigError, match=r"classify: .*Local cannot be sent to the processes of several devices"
    ):
        boxseg.classify(**words, devices=2, accelerator="cpu", callbacks=[Local()])


def test_names_of_loggers_stay_options() -> None:
    """As they are given, for they are recorded; and None is nothing."""
    curves = CSVLogger("unused")
    assert _split_lightnings({"loggers": "csv"}) == ({"loggers": "csv"}, {"callbacks": [], "loggers": []})
    assert _split_lightnings({"loggers": ["csv", curves], "callbacks": None, "lr": 1}) == (
        {"loggers": ["csv"], "lr": 1},
        {"callbacks": [], "loggers": [curves]},
    )
