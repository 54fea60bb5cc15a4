"""One number shortens a schedule, with all that depends on its length."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from boxseg import options
from boxseg.cli import execute
from boxseg.config import Classify, Segment
from boxseg.data.toy import write_toy
from boxseg.errors import ConfigError
from boxseg.nn.losses import LossOptions
from boxseg.stages import classify, segment
from boxseg.training import loop
from boxseg.training.schedule import OneCycle, checkpoint_interval, resume_points, schedule_length


@pytest.mark.parametrize(
    ("images", "batch", "epochs", "iterations", "scale", "expected"),
    [
        (10582, 20, 15, 8000, 1, 8000),
        (10582, 20, 15, 8000, 0.1, 800),
        (10582, 20, 45, 23805, 0.01, 238),  # 238.05
        (10582, 20, 45, 23805, 0.1, 2380),  # 2380.5: halves to the even number
        (311, 20, 15, None, 1, 234),  # 233.25: a pass is completed
        (311, 20, 15, None, 0.5, 117),
        (200, 20, 7, None, 0.1, 7),
        (5, 20, 1, None, 0.001, 1),
        (100, 20, 1, 10, 3, 30),
    ],
)
def test_iterations_are_scaled_and_rounded(
    images: int, batch: int, epochs: float, iterations: int | None, scale: float, expected: int
) -> None:
    options = Classify(batch=batch, epochs=epochs, iterations=iterations, min_iterations=1)
    assert schedule_length(options, images, scale) == expected


@pytest.mark.parametrize(
    ("images", "iterations", "scale", "expected"),
    [
        (40, None, 1, 120),  # 2 passes would be 4
        (1200, None, 1, 120),
        (1201, None, 1, 121),
        (40, None, 0.1, 12),  # a trial is as short as somebody wants it
        (40, 7, 1, 7),
    ],
)
def test_passes_over_few_photos_have_a_minimum_of_iterations(
    images: int, iterations: int | None, scale: float, expected: int
) -> None:
    for section in (
        Classify(batch=20, epochs=2, iterations=iterations, min_iterations=120),
        Segment(batch=20, epochs=2, iterations=iterations, min_iterations=120),
    ):
        assert schedule_length(section, images, scale) == expected


def test_a_minimum_of_no_iterations_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"segment\.min_iterations must be at least 1, got 0"):
        Segment(min_iterations=0)


@pytest.mark.parametrize(
    ("every", "scale", "expected"), [(100, 1, 100), (100, 0.5, 50), (100, 0.01, 10), (2, 0.1, 2), (100, 2, 200)]
)
def test_checkpoints_are_closer_but_not_below_ten_iterations(every: int, scale: float, expected: int) -> None:
    assert checkpoint_interval(every, scale) == expected


@pytest.mark.parametrize(
    ("every", "expected"), [(100, 10), (25, 5), (14, 7), (11, 11), (4, 4), (1, 1), (500, 10)]
)
def test_a_training_on_a_processor_can_be_cut_between_checkpoints(every: int, expected: int) -> None:
    assert resume_points(every) == expected


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy(root, train=4, val=1, size=64, seed=1)
    return root


def started(verb: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """The module that a stage hands to its loop; nothing is trained."""
    seen: list[Any] = []

    def fit(module: Any, *_: Any, **options: Any) -> None:
        seen.append(module)

    module = {"classify": classify, "segment": segment}[verb]
    monkeypatch.setattr(module, "fit", fit)
    job: Any = options.build_job(verb, options.parse_words([*words, "model.weights=none", "workers=0"], verb))
    module.run(job)
    return seen[0]


def test_the_classifier_steps_down_at_the_same_share(
    toy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("-c", "voc_vgg16", "backbone=efficientnet_lite0", f"data={toy}", "data.split=train")
    module = started("classify", monkeypatch, *words, f"out={tmp_path}", "scale=0.01")
    assert module.iterations == 80
    assert [module.schedule(step) for step in (0, 49, 50, 79)] == pytest.approx(
        [1, 1, 0.1, 0.1]
    )  # 5,000 of 8,000


def test_the_network_ends_its_fall_and_bootstrapping_with_the_schedule(
    toy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (
        "backbone=efficientnet_lite0",
        "head=largefov",
        f"data={toy}",
        "data.split=train",
        "crop=33",
        "val_split=",
    )
    small = ("scale=0.01", "labels=ground-truth", "segment.loss=bs", f"out={tmp_path}")
    module = started("segment", monkeypatch, "-c", "voc_vgg16", *words, *small)
    assert module.iterations == 238
    assert [module.schedule(step) for step in (0, 119, 238)] == pytest.approx([1, 0.5**0.9, 0])
    told: list[LossOptions] = []
    module.loss_function = lambda logits, crf, ret, options: told.append(options) or logits.sum()
    label = torch.zeros(1, 33, 33, dtype=torch.uint8)
    for step in (0, 119, 238):
        monkeypatch.setattr(type(module), "global_step", step)
        module.loss({"images": torch.zeros(1, 3, 33, 33), "y_crf": label, "y_ret": label})
    assert [item.progress for item in told] == [0, 0.5, 1]


def test_a_scaled_run_is_recorded_gone_on_with_and_not_mistaken(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["classify", f"data={toy}", f"out={tmp_path}", "iterations=4", "batch=1", "crop=33"]
    words += ["model.weights=none", "workers=0"]
    assert execute([*words, "scale=0.5", "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["scale"], printed["classify"]["iterations"]) == (0.5, 4)
    assert execute([*words, "scale=0.5"]) == 0
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + 2
    recorded = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert recorded == printed
    assert execute(["classify", "-c", str(tmp_path / "config.yaml")]) == 0
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + 2
    capsys.readouterr()
    assert execute(words) == 2
    assert "scale: 0.5 → 1.0" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "[1, 2]"])
def test_a_scale_that_is_none_is_named(scale: str) -> None:
    with pytest.raises(ConfigError, match="scale"):
        options.build_job("run", options.parse_words(["data=d", "out=o", f"scale={scale}"], "run"))


@pytest.mark.parametrize("every", [2, 5])
def test_a_run_gone_on_with_other_checkpoints_is_the_uninterrupted_one(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    words = ["classify", f"data={toy}", "iterations=7", "batch=1", "crop=33", "model.weights=none", "workers=0"]
    assert execute([*words, f"out={tmp_path}/whole", "checkpoint_every=7"]) == 0
    original = loop.History.on_train_batch_end

    def interrupted(self: loop.History, trainer: Any, *rest: Any) -> None:
        original(self, trainer, *rest)
        if trainer.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.History, "on_train_batch_end", interrupted)
        assert execute([*words, f"out={tmp_path}/broken", "checkpoint_every=3"]) == 130
    assert execute([*words, f"out={tmp_path}/broken", f"checkpoint_every={every}"]) == 0
    (tmp_path / "broken" / "model.safetensors").unlink()  # as if it had been killed before that was written
    assert execute([*words, f"out={tmp_path}/broken", f"checkpoint_every={every}"]) == 0
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("minutes", "every", "expected"), [("0", 10, [5, 10, 15, 17]), ("60", 10, [10, 17]), ("60", 100, [17])]
)
def test_checkpoints_are_written_by_time_as_well_as_by_step(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: str, every: int, expected: list[int]
) -> None:
    words = [
        "classify",
        f"data={toy}",
        "iterations=17",
        "batch=1",
        "crop=33",
        "model.weights=none",
        "workers=0",
    ]
    monkeypatch.setattr(loop, "resume_points", lambda every: 5)
    written: list[int] = []
    original = loop.WholeCheckpoints.save_checkpoint

    def save(self: Any, checkpoint: dict[str, Any], *rest: Any, **more: Any) -> None:
        written.append(checkpoint["global_step"])
        original(self, checkpoint, *rest, **more)

    monkeypatch.setattr(loop.WholeCheckpoints, "save_checkpoint", save)
    given = [f"checkpoint_every={every}", f"checkpoint_minutes={minutes}"]
    assert execute([*words, f"out={tmp_path}/run", *given]) == 0
    assert written == expected
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 1 + 17


def test_the_learning_rate_rises_along_a_cosine_and_falls_to_nothing() -> None:
    factor = OneCycle(200, 0.25)
    assert factor(0) == pytest.approx(1 / 25)
    assert factor(25) == pytest.approx((1 / 25 + 1) / 2)
    assert factor(50) == pytest.approx(1)
    assert factor(125) == pytest.approx(0.5)
    assert factor(100) == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert factor(200) == pytest.approx(0)
    assert factor(300) == pytest.approx(0)
    values = [factor(step) for step in range(201)]
    assert values[:51] == sorted(values[:51])
    assert values[50:] == sorted(values[50:], reverse=True)


@pytest.mark.parametrize(("iterations", "rise"), [(1, 0.15), (1, 0), (1, 1), (3, 0), (3, 1), (10, 0.01)])
def test_short_schedules_have_a_learning_rate(iterations: int, rise: float) -> None:
    values = [OneCycle(iterations, rise)(step) for step in range(iterations)]
    assert all(0 < value <= 1 for value in values)
    if rise == 0:
        assert values[0] == 1
