"""Configuration files of other BANA code: every key is accounted for, and what comes out is a valid recipe."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import boxseg
from boxseg import options
from boxseg.cli import execute
from boxseg.config import Crf
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS, ClassifyJob, EvaluateJob, LabelJob, PredictJob, SegmentJob
from boxseg.jobs.bana_keys import RENAMED, SPECIAL, Meaning, Seen, meaning_of
from boxseg.stages.convert_config import ConvertConfigResult

STAGE1 = """
NAME: "BAP"
SEED: 0
DATA:
  ROOT: /data
  AUG: True
  BATCH_SIZE: 20
  CROP_SIZE: [321, 321]
  NUM_WORKERS: 4
MODEL:
  GAP: False
  NUM_CLASSES: 21
  ROI_SIZE: 2
  GRID_SIZE: 4
SOLVER:
  LR: 1e-3
  MOMENTUM: 0.9
  WEIGHT_DECAY: 5e-4
  MILESTONES: [5000]
  GAMMA: 0.1
  MAX_ITER: 8000
  STDOUT_PRINT: 100
"""
STAGE2 = """
DATA: {ROOT: /data, MODE: val, AUG: True, BATCH_SIZE: 1}
MODEL: {GAP: False, GRID_SIZE: 1, DCRF: "(4, 55, 3, 3, 3, 10)", WEIGHTS: bap.pth}
"""
STAGE3 = """
DATA: {ROOT: /data, MODE: train, AUG: False, BATCH_SIZE: 10, CROP_SIZE: 321}
MODEL: {LOSS: CE_RET, TEMP: 20, DCRF: [10, 3, 1, 67, 3, 4], LAMBDA: 0.2, GAMMA: 5}
SOLVER: {LR: 2.5e-4, MAX_ITER: 20000, POWER: 0.9, GAMMA: 0.1}
"""


def convert(folder: Path, text: str, name: str = "config.yml", **words: Any) -> ConvertConfigResult:
    (folder / name).write_text(text)
    converted: ConvertConfigResult = boxseg.convert_config(file=folder / name, overwrite=True, **words)
    return converted


def command_of(converted: ConvertConfigResult) -> Any:
    """The job of the command that is to be run next."""
    verb, *words = converted.command.split()[1:]
    return options.build_job(verb, options.parse_words(words, verb))


def became(converted: ConvertConfigResult) -> dict[str, Meaning]:
    return {key: meaning for key, _, meaning in converted.keys}


def test_a_file_of_stage_1(tmp_path: Path) -> None:
    converted = convert(tmp_path, STAGE1, "stage1.yml")
    job = command_of(converted)
    assert isinstance(job, ClassifyJob)
    told, recipe = job.classify, options.build_job(
        "classify", {**options.read_yaml("voc_vgg16", ClassifyJob), "data.root": "/data", "out": "runs/BAP"}
    )  # fmt: skip
    assert job.data.root == Path("/data")
    assert job.data.split == "train_aug"
    assert (told.pooling, told.roi_bins, told.grid, told.batch) == ("bap", 2, 4, 20)
    assert (told.iterations, told.milestones, told.augment.crop) == (8000, (0.625,), 321)
    assert (told.optimiser.lr, told.optimiser.weight_decay, told.optimiser.new_lr) == (1e-3, 5e-4, 10.0)
    assert (job.trainer.seed, job.trainer.workers, job.model.backbone) == (0, 4, "vgg16")
    # The paper's schedule is that of the recipe; nothing else has moved.
    assert isinstance(recipe, ClassifyJob)
    assert (job.classify, job.model, job.out) == (recipe.classify, recipe.model, recipe.out)
    assert not [key for key, meaning in became(converted).items() if meaning.lost]


@pytest.mark.parametrize(
    ("key", "value", "options"),
    [
        ("GAP", '"False"', {"classify.pooling": "bap"}),
        ("GAP", "'true'", {"classify.pooling": "gap"}),
        ("GAP", "maybe", None),
        ("AUG", "'False'", {"data.split": "train"}),
        ("AUG", "yes please", None),
    ],
)
def test_switches_as_words(tmp_path: Path, key: str, value: str, options: dict[str, str] | None) -> None:
    before = {"GAP": "GAP: False", "AUG": "AUG: True"}[key]
    found = became(convert(tmp_path, STAGE1.replace(before, f"{key}: {value}"), "stage1.yml"))
    meaning = next(meaning for name, meaning in found.items() if name.endswith(key))
    assert meaning.lost == (options is None)
    assert meaning.options == (options or {})


def test_stage_1_does_not_train_on_what_it_is_scored_on(tmp_path: Path) -> None:
    converted = convert(tmp_path, STAGE1.replace("DATA:", "DATA:\n  MODE: val"), "stage1.yml")
    assert became(converted)["DATA.MODE"].lost
    job = command_of(converted)
    assert isinstance(job, ClassifyJob)
    assert job.data.split != "val"


def test_a_file_of_stage_2(tmp_path: Path) -> None:
    converted = convert(tmp_path, STAGE2, "stage2.yml")
    assert " label -c voc_vgg16 -c " in converted.command
    job = command_of(converted)
    assert isinstance(job, LabelJob)
    assert (job.data.split, job.label.grid, job.label.crf) == ("val", 1, Crf())
    found = became(converted)
    assert [key for key, meaning in found.items() if meaning.lost] == ["MODEL.WEIGHTS"]
    assert "checkpoint=" in found["MODEL.WEIGHTS"].remark
    assert found["DATA.BATCH_SIZE"].options == {}


def test_coco_from_voc(tmp_path: Path) -> None:
    """The reproduction's README: change DATA.ROOT and MODEL.NUM_CLASSES of stage 2 for COCO."""
    text = STAGE2.replace("ROOT: /data, MODE: val", "ROOT: /coco").replace(
        "MODEL: {", "MODEL: {NUM_CLASSES: 81, "
    )
    job = command_of(convert(tmp_path, text, "stage2.yml"))
    assert isinstance(job, LabelJob)
    assert (job.data.root, job.data.split) == (Path("/coco"), "train2017")
    assert (str(job.label.class_map), job.label.instances) == ("voc_to_coco", True)


def test_a_file_of_stage_3(tmp_path: Path) -> None:
    converted = convert(tmp_path, STAGE3, "stage3_res.yml")
    job = command_of(converted)
    assert isinstance(job, SegmentJob)
    assert (job.model.backbone, job.model.temperature, job.data.split) == ("resnet101", 20.0, "train")
    told = job.segment
    assert (told.loss, told.weight, told.gamma, told.batch, told.iterations) == ("ce_ret", 0.2, 5.0, 10, 20000)
    assert (told.optimiser.lr, told.poly_power, told.augment.crop) == (2.5e-4, 0.9, 321)
    assert job.evaluate.crf == Crf(sigma_xy=67, sigma_rgb=3, gaussian_weight=3, gaussian_sigma=1)
    assert became(converted)["SOLVER.GAMMA"].lost


@pytest.mark.parametrize(("mode", "kind", "split"), [("val", EvaluateJob, "val"), ("test", PredictJob, "test")])
def test_the_mode_chooses_the_verb(tmp_path: Path, mode: str, kind: type[Any], split: str) -> None:
    text = STAGE3.replace("MODE: train", f"MODE: {mode}")
    job = command_of(convert(tmp_path, text, "stage3_vgg.yml"))
    assert isinstance(job, kind)
    assert job.data is not None
    assert job.data.split == split
    assert job.evaluate.crf.sigma_xy == 67
    if isinstance(job, PredictJob):
        assert job.submission == "voc2012"


@pytest.mark.parametrize(
    "loss", ["NAL", "ER", "BS", "BASELINE", "CE_CRF", "CE_RET"]
)  # the reproduction's names
def test_every_loss(tmp_path: Path, loss: str) -> None:
    job = command_of(convert(tmp_path, STAGE3.replace("CE_RET", loss)))
    assert job.segment.loss == loss.lower()


def test_gap(tmp_path: Path) -> None:
    job = command_of(convert(tmp_path, STAGE1.replace("GAP: False", "GAP: True")))
    assert job.classify.pooling == "gap"


@pytest.mark.parametrize("order", list(itertools.permutations([4, 121, 5, 3, 3, 10]))[::97])
def test_the_papers_crf_is_recognised_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    job = command_of(convert(tmp_path, STAGE3.replace("[10, 3, 1, 67, 3, 4]", str(list(order)))))
    assert job.evaluate.crf == Crf(sigma_xy=121, sigma_rgb=5)


def test_other_crf_numbers_are_not_guessed_at(tmp_path: Path) -> None:
    converted = convert(tmp_path, STAGE2.replace("55", "60"), "stage2.yml")
    meaning = became(converted)["MODEL.DCRF"]
    assert meaning.lost
    assert "label.crf" in meaning.remark
    assert command_of(converted).label.crf == Crf()
    assert "#   MODEL.DCRF: [4, 60, 3, 3, 3, 10]" in converted.file.read_text()
    named = "MODEL: {DCRF: {ITER_MAX: 5, POS_W: 7, POS_XY_STD: 2, BI_W: 6, BI_XY_STD: 60, BI_RGB_STD: 4}}"
    job = command_of(convert(tmp_path, named, "stage2.yml"))
    assert job.label.crf == Crf(
        iterations=5, gaussian_weight=7, gaussian_sigma=2, bilateral_weight=6, sigma_xy=60, sigma_rgb=4
    )
    assert command_of(convert(tmp_path, "MODEL: {DCRF: false}", "stage2.yml")).label.crf.iterations == 0


def test_of_two_keys_for_one_option_a_word_gives_way_to_a_number(tmp_path: Path) -> None:
    converted = convert(tmp_path, "MODEL: {LR: NAL}\nSOLVER: {BASE_LR: 1610}", stage="classify")
    keys = became(converted)
    assert keys["MODEL.LR"].lost
    assert keys["SOLVER.BASE_LR"].options == {"classify.optimiser.lr": 1610}
    assert yaml.safe_load(converted.file.read_text()) == {"classify": {"optimiser": {"lr": 1610}}}


def test_the_command_says_what_each_key_became(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = STAGE3.replace("TEMP: 20", "TEMP: warm, WIDGET: 7")
    (tmp_path / "stage3_vgg.yml").write_text(text)
    assert execute(["convert-config", f"{tmp_path}/stage3_vgg.yml", f"out={tmp_path}/ours.yaml"]) == 0
    printed = capsys.readouterr().out
    for key in ("DATA.ROOT", "MODEL.LOSS", "SOLVER.LR", "segment.loss=ce_ret", "unknown key"):
        assert key in printed
    assert "Not converted: MODEL.TEMP, MODEL.WIDGET, SOLVER.GAMMA" in printed
    assert f"Next: boxseg segment -c voc_vgg16 -c {tmp_path}/ours.yaml labels=LABELS" in printed
    ours = (tmp_path / "ours.yaml").read_text()
    assert "#   MODEL.WIDGET: 7  (unknown key)" in ours
    assert "loss: ce_ret  # MODEL.LOSS: CE_RET" in ours


def test_such_a_file_given_as_options_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stage1.yml"
    file.write_text(STAGE1)
    assert execute(["classify", "-c", str(file), "data=d", "out=o"]) == 2
    assert f"`boxseg convert-config {file}`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("data: {root: x}", "ours.yml", "no upper-case keys"),
        ("[1, 2]", "list.yml", "must hold `key: value` lines"),
        ("A: [", "broken.yml", "cannot be read as YAML"),
        ("DATA: {ROOT: x}", "some.yml", "give stage=classify, label or segment"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(tmp_path, text, name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "stage1.yml").write_text(STAGE1)
    (tmp_path / "stage1.boxseg.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        boxseg.convert_config(file=tmp_path / "stage1.yml")
    assert (tmp_path / "stage1.boxseg.yaml").read_text() == "mine"
    boxseg.convert_config(file=tmp_path / "stage1.yml", overwrite=True)
    written = (tmp_path / "stage1.boxseg.yaml").read_text()
    boxseg.convert_config(file=tmp_path / "stage1.yml")  # again: as after an interruption
    assert (tmp_path / "stage1.boxseg.yaml").read_text() == written


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 9000),
    st.floats(-2, 2),
    st.text("abcXYZ019 .:#'\"-/é\n", max_size=12),
    st.lists(st.one_of(st.integers(-3, 9), st.text("a(,", max_size=2)), max_size=7),
    st.sampled_from(["(321, 321)", "(1, ", "NAL", "train", "vgg16", [1, [2]]]),
)
NAMES = sorted({name.split(".")[-1] for name in (*RENAMED, *SPECIAL)} | {"WIDGET"})


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted({*RENAMED, *SPECIAL, "WIDGET", "CRF.BI_W"})),
    value=VALUES,
    others=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
    stage=st.sampled_from(["classify", "label", "segment"]),
)
def test_every_key_has_a_meaning_or_a_remark(name: str, value: Any, others: dict[str, Any], stage: Any) -> None:
    seen = Seen(stage=stage, keys=others)
    meaning = meaning_of(f"DATA.{name}", value, seen)
    assert meaning.options or meaning.remark
    assert not (meaning.options and meaning.lost)


@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # shrinking takes minutes: an example is a third of a second
)
@given(
    content=st.fixed_dictionaries(
        {"DATA": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)},
        optional={
            "MODEL": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
            "SOLVER": st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
        },
    ),
    stage=st.sampled_from(["classify", "label", "segment"]),
)
@example(content={"SOLVER": {"LOSS": " ..:\n.-ZZZ9-"}, "DATA": {}}, stage="classify")
def test_whatever_a_file_says_the_result_is_a_valid_recipe(
    tmp_path: Path, content: dict[str, Any], stage: str
) -> None:
    converted = convert(tmp_path, yaml.safe_dump(content), stage=stage)
    keys = {f"{section}.{name}" for section, part in content.items() for name in part}
    assert set(became(converted)) - set(content) == keys  # each key is accounted for
    flat = options.read_yaml(str(converted.file), JOBS["run"])
    options.build_job("run", {**flat, "data.root": "d", "out": "o"})
    for key, _, meaning in converted.keys:
        assert not (meaning.lost and meaning.options)
        assert meaning.options or meaning.remark
        assert not meaning.lost or f"#   {key}: " in converted.file.read_text()
