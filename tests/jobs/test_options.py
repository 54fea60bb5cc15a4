"""Options from words, files and Python become the same checked job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from boxseg import options
from boxseg.config import Augment, Classify, Crf, Data
from boxseg.errors import ConfigError
from boxseg.jobs import JOBS, POSITIONAL, ClassifyJob, DemoJob, PredictJob, RunJob


def parse(verb: str, *words: str) -> object:
    return options.build_job(verb, options.parse_words(words, verb))


def test_words_reach_their_fields() -> None:
    job = parse(
        "classify", "data.root=/d", "out=o", "grid=3", "--classify.optimiser.lr=1e-4", "--pooling", "gap",
        "augment.scale=[0.5, 2]", "classify.iterations=null",
    )  # fmt: skip
    assert isinstance(job, ClassifyJob)
    assert job.data == Data(root=Path("/d"))
    assert job.out == Path("o")
    assert job.classify.grid == 3
    assert job.classify.optimiser.lr == 1e-4
    assert job.classify.pooling == "gap"
    assert job.classify.augment == Augment(scale=(0.5, 2.0))
    assert job.classify.iterations is None


def test_values_that_look_like_something_else_stay_text() -> None:
    job = parse("predict", "checkpoint=2024-01-01", "images=007", "out=1e3")
    assert isinstance(job, PredictJob)
    assert (job.checkpoint, job.images, job.out) == (Path("2024-01-01"), "007", Path("1e3"))
    many = parse("predict", "checkpoint=c", "images=[a.jpg, b]", "out=o")
    assert isinstance(many, PredictJob)
    assert many.images == ["a.jpg", "b"]
    listed = parse("predict", "checkpoint=c", "images=[2024_01_05, 001, 2024-01-05, no]", "out=o")
    assert isinstance(listed, PredictJob)
    assert listed.images == ["2024_01_05", "001", "2024-01-05", "no"]
    named = parse("doctor", "data=d", "data.classes=[no, 1.10, 007]", "data.merge={yes: 1.10, off: no}")
    assert named.data.classes == ("no", "1.10", "007")
    assert named.data.merge == {"yes": "1.10", "off": "no"}


def test_an_unambiguous_ending_is_enough_and_the_verbs_own_section_wins() -> None:
    job = parse("predict", "checkpoint=c", "images=i", "out=o", "crf.iterations=0", "flip=false")
    assert isinstance(job, PredictJob)
    assert job.evaluate.crf.iterations == 0
    assert job.evaluate.flip is False
    with pytest.raises(ConfigError, match=r"classify\.optimiser\.lr, segment\.optimiser\.lr: write it out"):
        parse("run", "data=d", "out=o", "lr=1")


@pytest.mark.parametrize(("word", "active"), [("crf=false", False), ("crf=off", False), ("crf=true", True)])
def test_a_sections_name_is_its_switch(word: str, active: bool, tmp_path: Path) -> None:
    job = parse("predict", "checkpoint=c", "images=i", "out=o", word)
    assert isinstance(job, PredictJob)
    assert job.evaluate.crf == Crf(sigma_xy=121.0, sigma_rgb=5.0, enabled=active)
    assert job.evaluate.crf.active is active
    key, value = word.split("=")
    (tmp_path / "options.yaml").write_text(f"evaluate:\n  {key}: {value}\n  tta: false\n")
    job = parse("predict", "checkpoint=c", "images=i", "out=o", "-c", str(tmp_path / "options.yaml"))
    assert isinstance(job, PredictJob)
    assert (job.evaluate.crf.active, job.evaluate.tta) == (active, False)
    with pytest.raises(ConfigError, match=r"label\.crf\.enabled, evaluate\.crf\.enabled: write it out"):
        parse("run", "data=d", "out=o", word)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data=d", "out=o", "gird=3"), "unknown option 'gird', did you mean 'grid'"),
        (("data=d", "out=o", "classify.optimiser.momentun=3"), r"did you mean 'classify\.optimiser\.momentum'"),
        (("out=o",), r"missing option data\.root="),
        (("data=d",), "missing option out="),
        (
            ("data=d", "out=o", "grid=three"),
            "^option \"classify.grid\": expected a whole number, got 'three'$",
        ),
        (("data=d", "out=o", "grid=3.5"), "expected a whole number, got '3.5'$"),
        (("data=d", "out=o", "grid=3.0"), "expected a whole number, got '3.0'$"),
        (("data=d", "out=o", "devices=2.0"), "expected a whole number or auto, got '2.0'$"),
        (("data=d", "out=o", "grid=true"), "expected a whole number, got true$"),
        (("data=d", "out=o", "overwrite=maybe"), "\"overwrite\": expected true or false, got 'maybe'$"),
        (("data=d", "out=o", "overwrite=1"), "\"overwrite\": expected true or false, got '1'$"),
        (("data=d", "out=o", "freeze=y"), "\"model.freeze\": expected true or false, got 'y'$"),
        (("data=d", "out=o", "data.split=[a]"), r'"data.split": expected text, got \["a"\]$'),
        (("data=d", "out=o", "format=vco"), r"unknown data\.format=vco, did you mean 'voc'\?"),
        (
            ("data=d", "out=o", "loggers=[csv, x]"),
            r"one of csv, .* or a list \[csv\|.*,…\], got \[.csv., .x.\]$",
        ),
        (
            ("data=d", "out=o", "pooling=max"),
            "option \"classify.pooling\": expected one of bap, gap, got 'max'$",
        ),
        (
            ("data=d", "out=o", "classify.iterations=many"),
            '^option "classify.iterations": expected a whole number, ',
        ),
        (("data=d", "out=o", "devices=two"), "expected a whole number or auto, got 'two'$"),
        (("data=d", "out=o", "milestones=0.5"), r"expected a list \[NUMBER,…\], got '0.5'$"),
        (("data=d", "out=o", "augment.scale=[1]"), r"expected a list \[NUMBER,NUMBER\], got \[1\]$"),
        (("data=d", "out=o", "grid=0"), r"classify\.grid must be at least 1, got 0"),
        (("data=d", "out=o", "iterations=0"), r"classify\.iterations must be at least 1"),
        (("data=d", "out=o", "milestones=[1.5]"), r"classify\.milestones are shares"),
        (("data=d", "out=o", "seed=-1"), r"trainer\.seed must be 0 or more"),
        (("data=d", "out=o", "nonsense"), "expected key=value, got 'nonsense'"),
        (("data=d", "out=o", "-c", "nowhere.yaml"), "no options file 'nowhere.yaml'"),
    ],
)
def test_what_cannot_be_used_is_named(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse("classify", *words)
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_key_is_told_from_a_word(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"got '{tmp_path}', did you mean data={tmp_path}\? \(see `boxseg label"
    ):
        options.parse_words([str(tmp_path), "out=o"], "label")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("complement", "1 - max u_c was no setting of the paper: activation is its labels without u_0"),
        ("zero", "activation also scores 0 inside boxes, and outside them as the paper does without u_0"),
        ("auto", "leave it out: labels of BAP and GAP classifiers are both made with u_0, attention"),
    ],
)
def test_a_value_that_an_option_had_says_what_to_do_instead(tmp_path: Path, value: str, advice: str) -> None:
    """On the command line, and in the file of an earlier version, for every verb that takes the option."""
    told = f'option "label.background": expected one of attention, activation, got {value!r}; {advice}'
    file = tmp_path / "earlier.yaml"
    file.write_text(f"label: {{background: {value}}}\n")
    for verb, words in (
        ("label", ("data=d", "out=o", "checkpoint=c", f"background={value}")),
        ("run", ("data=d", "out=o", "-c", str(file))),
        ("reproduce", ("grid", "data=d", "-c", str(file))),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(verb, *words)
        assert str(caught.value) == told


def test_a_run_labels_by_gap_only_with_a_classifier_trained_by_gap() -> None:
    with pytest.raises(ConfigError, match=r"^label\.method=gap takes .*: add classify\.pooling=gap$"):
        parse("run", "data=d", "out=o", "method=gap")
    assert isinstance(parse("run", "data=d", "out=o", "method=gap", "pooling=gap"), RunJob)


def test_an_option_in_a_section_that_may_be_left_out_is_named() -> None:
    words = ("checkpoint=c", "out=o", "data.root=d", "data.limit=abc")
    with pytest.raises(ConfigError) as caught:
        parse("predict", *words)
    assert str(caught.value) == "option \"data.limit\": expected a whole number, got 'abc'"


def test_a_file_serves_all_verbs_and_words_override_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("data: {root: /d}\nclassify: {grid: 2, batch: 7}\nsegment: {loss: er}\n")
    job = parse("classify", "out=o", "-c", str(file), "grid=5")
    assert isinstance(job, ClassifyJob)
    assert (job.classify.grid, job.classify.batch) == (5, 7)
    whole = parse("run", "out=o", "-c", str(file))
    assert isinstance(whole, RunJob)
    assert whole.segment.loss == "er"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classify: {gird: 2}\n", r"unknown option 'classify\.gird' in .*did you mean 'classify\.grid'"),
        ("- a\n- b\n", "must hold `key: value` lines"),
        ("a: [1,\n", "cannot be read as YAML"),
    ],
)
def test_a_broken_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse("classify", "data=d", "out=o", "-c", str(file))


def test_what_is_printed_reads_back_as_the_same_job(tmp_path: Path) -> None:
    job = parse("run", "data=d", "out=o", "classify.grid=2", "evaluate.scales=[1, 2]", "seed=3")
    file = tmp_path / "printed.yaml"
    file.write_text(options.to_yaml(job))
    assert parse("run", "-c", str(file)) == job


def test_the_demo_starts_from_its_recipe_and_words_override_it() -> None:
    recipe = yaml.safe_load((options.RECIPES / "demo.yaml").read_text())
    job = parse("demo", "classify.iterations=7")
    assert isinstance(job, DemoJob)
    assert job.classify.augment.crop == recipe["classify"]["augment"]["crop"] != Augment().crop
    assert job.classify.iterations == 7


def test_python_keywords_make_the_same_job() -> None:
    words = parse("classify", "data.root=/d", "data.split=val", "out=o", "grid=3", "augment.crop=64")
    python = options.from_python(
        "classify",
        ClassifyJob,
        {
            "data": Data(root=Path("/d"), split="val"),
            "out": Path("o"),
            "grid": 3,
            "classify": {"augment": {"crop": 64}},
        },
    )
    assert words == python
    with pytest.raises(ConfigError, match="did you mean 'grid'"):
        options.from_python("classify", ClassifyJob, {"data": "/d", "out": "o", "gird": 3})


def test_lists_of_text_take_numbers_and_a_mapping_can_be_typed() -> None:
    job: Any = parse("label", "checkpoint=c", "data=d", "out=o", "class_map={cat: 1, dog: hound}")
    assert job.label.class_map == {"cat": "1", "dog": "hound"}
    many: Any = parse("segment", "labels=[2007, b]", "data=d", "out=o")
    assert many.labels == ["2007", "b"]


@pytest.mark.parametrize("value", [float("inf"), 1e-7, 123456789.25])
def test_numbers_of_python_and_yaml_arrive_as_they_are(value: float) -> None:
    job: Any = options.build_job(
        "segment", {"labels": "l", "data.root": "d", "out": "o", "segment.weight": value}
    )
    assert job.segment.weight == value
    assert parse(*options.to_words("segment", job)) == job


@dataclass(frozen=True, kw_only=True)
class OpenJob:
    """Choose.

    Args:
        loss: One of ours, or any.
        sizes: Numbers or names.
    """

    loss: Literal["nal", "er"] | str = "nal"
    sizes: tuple[int, str] | Literal["auto"] = "auto"


def test_choices_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setitem(JOBS, "open", OpenJob)  # type: ignore[arg-type]
    assert parse("open", "loss=mine", "sizes=[1, a]") == OpenJob(loss="mine", sizes=(1, "a"))
    assert "loss=nal|er|TEXT  " in options.help_text("open")
    assert "sizes=[INTEGER,TEXT]|auto  " in options.help_text("open")
    with pytest.raises(
        ConfigError, match=r"^option .sizes.: expected a list \[INTEGER,TEXT\] or auto, got \[1\]$"
    ):
        parse("open", "sizes=[1]")


def test_one_option_of_a_section_leaves_the_others_at_the_defaults_of_that_section() -> None:
    job: Any = parse("classify", "data=d", "out=o", "momentum=0.5")
    assert job.classify.optimiser == replace(Classify().optimiser, momentum=0.5)


@pytest.mark.parametrize("more", [{}, {"data": None}, {"data": {"split": "val"}}])
def test_a_section_that_may_be_left_out_is_none_without_what_it_requires(more: dict[str, Any]) -> None:
    job = options.from_python("predict", PredictJob, {"checkpoint": "c", "images": "p", "out": "o", **more})
    assert job.data is None


def test_null_is_nothing_where_an_option_may_be_nothing_and_missing_elsewhere() -> None:
    job: Any = parse("classify", "-c", "voc_vgg16", "data=d", "out=o", "classify.iterations=null")
    assert job.classify.iterations is None
    with pytest.raises(ConfigError, match=r"^missing option data\.root="):
        parse("classify", "data=null", "out=o")
    with pytest.raises(ConfigError, match=r'"classify\.grid": expected a whole number, got null$'):
        parse("classify", "data=d", "out=o", "grid=null")


@pytest.mark.parametrize("columns", ["60", "100"])
@pytest.mark.parametrize("verb", JOBS)
def test_help_explains_every_option(verb: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = options.help_text(verb).splitlines()
    for key, option in options.options_of(JOBS[verb]).items():
        (place,) = (at for at, line in enumerate(lines) if line.startswith(f"  {key}="))
        rest = lines[place].partition("=")[2].split()[1:] or lines[place + 1].split()
        assert option.text.startswith(rest[0]), key
    explained = [line for line in lines[2:] if not line.startswith("  ") or line.startswith("   ")]
    assert max(map(len, explained)) <= int(columns)


def test_help_spells_options_as_they_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    lines = options.help_text("predict").splitlines()
    assert lines[0] == "usage: boxseg predict checkpoint=… out=… [key=value …] [-c FILE.yaml]"
    assert "  out=PATH                    Folder for labels/NAME.png, overlays/NAME.jpg and" in lines
    assert "                              confidence/NAME.png. (required)" in lines
    text = " ".join(" ".join(lines).split())
    assert "images=TEXT|[TEXT,…] Photos: a file," in text
    assert "comp=comp5|comp6 Competition of" in text
    assert "evaluate.scales=[NUMBER,…] " in text
    assert "(default: [0.5, 0.75, 1.0, 1.5])" in text
    assert "evaluate.tile=INTEGER|auto " in text
    assert "evaluate.flip=true|false " in text
    assert "data.root=PATH Folder of the data set, or its annotation file" in text
    assert "(required for data.*)" in text
    assert "null" not in text


def test_help_of_a_verb_with_a_recipe_has_the_defaults_of_that_recipe() -> None:
    recipe = yaml.safe_load((options.RECIPES / "demo.yaml").read_text())
    text = " ".join(options.help_text("demo").split())
    crop = recipe["classify"]["augment"]["crop"]
    assert f"classify.augment.crop=INTEGER Side of the square crop, in pixels. (default: {crop})" in text


@pytest.mark.parametrize("recipe", sorted(path.stem for path in options.RECIPES.glob("*.yaml")))
@pytest.mark.parametrize("verb", JOBS)
def test_every_recipe_is_known_to_every_verb(recipe: str, verb: str) -> None:
    flat = options.read_yaml(recipe, JOBS[verb])
    content = yaml.safe_load(options.recipe_path(recipe).read_text())
    assert content
    assert set(flat) <= set(options.options_of(JOBS[verb]))


@dataclass(frozen=True, kw_only=True)
class CopyJob:
    """Copy something.

    Args:
        source: From.
        target: To.
        times: How often.
    """

    source: Path = field(metadata=POSITIONAL)
    target: Path = field(metadata=POSITIONAL)
    times: int = 1


def test_bare_words_fill_the_positional_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "copy", CopyJob)  # type: ignore[arg-type]
    assert parse("copy", "a", "times=2", "b") == CopyJob(source=Path("a"), target=Path("b"), times=2)
    assert parse("copy", "source=a", "b") == CopyJob(source=Path("a"), target=Path("b"))
    with pytest.raises(ConfigError, match="missing option target="):
        parse("copy", "a")
    with pytest.raises(ConfigError, match="expected key=value, got 'c'"):
        parse("copy", "a", "b", "c")
    assert options.help_text("copy").startswith("usage: boxseg copy SOURCE TARGET [key=value …]")


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            "run",
            ["data=d", "out=o", "evaluate.scales=[0.5, 1]", "classify.optimiser.lr=1e-5", "data.val_split="],
        ),
        ("segment", ["labels=l", "data=d", "out=o", "segment.iterations=3", "evaluate.flip=false"]),
        ("predict", ["checkpoint=c", "images=[a b.jpg, c]", "out=o"]),
        ("predict", ["checkpoint=c", "data=d", "data.split=test", "submission=voc2012", "out=o"]),
        ("reproduce", ["losses", "data=d", "-c", "voc_efficientnet_lite0", "seeds=[0, 1]"]),
        ("reproduce", ["final-resnet", "data=d", "segment.iterations=null"]),
        ("demo", ["classify.iterations=7", "out=o"]),
    ],
)
def test_a_job_as_words_is_the_same_job(verb: str, words: list[str]) -> None:
    job = options.build_job(verb, options.parse_words(words, verb))
    spelt = options.to_words(verb, job)
    assert spelt[0] == verb
    assert parse(*spelt) == job


def test_a_table_of_the_paper_starts_from_its_recipe_unless_another_is_given() -> None:
    for words, backbone, iterations in (
        (["final-vgg"], "vgg16", 23805),
        (["final-resnet"], "resnet101", 20000),
        (["final-resnet", "-c", "voc_efficientnet_lite0"], "efficientnet_lite0", None),
    ):
        job: Any = parse("reproduce", *words, "data=d")
        assert (job.model.backbone, job.segment.iterations) == (backbone, iterations)
    with pytest.raises(ConfigError, match="losses"):
        parse("reproduce", "lossess", "data=d")
    with pytest.raises(ConfigError, match="seeds must differ"):
        parse("reproduce", "losses", "data=d", "seeds=[1, 1]")
