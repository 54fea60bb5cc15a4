"""Run folders of `reproduce` are named by what makes their result, the content of weight files included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg import options
from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES, BoxDataset, Sample
from boxseg.stages.reproduce import steps as reproduce_steps
from boxseg.stages.reproduce.steps import Plan, Shared, Step


class OnePhoto(Shared):
    """Data of one photo, whatever is asked for."""

    def load(self, data: Data, *, boxes: bool = True) -> BoxDataset:
        sample = Sample(
            id="photo",
            image=Path("photo.jpg"),
            width=8,
            height=8,
            boxes=np.array([[1.0, 1, 5, 5]]),
            labels=np.array([1]),
            difficult=np.array([False]),
        )
        return BoxDataset(
            root=Path("d"), format="voc", split=data.split, classes=VOC_CLASSES, samples=(sample,)
        )

    def fingerprint(self, data: Data, *, boxes: bool = True) -> str:
        return "fingerprint"


def steps(*words: str) -> list[Step]:
    """A classifier, its labels, a network from them, and its scores."""
    job: Any = options.build_job("reproduce", options.parse_words(["losses", "data=d", *words], "reproduce"))
    plan = Plan(job, own_classifier=True, shared=OnePhoto())
    network = plan.segment(plan.label(plan.classify(0, pooling="bap"), plan.train), 0, "nal")
    return plan.evaluate(network).chain()


def test_the_photos_to_score_are_not_those_of_the_named_file(tmp_path: Path) -> None:
    file = tmp_path / "annotations" / "instances_train.json"
    file.parent.mkdir()
    file.write_text("{}")
    job: Any = options.build_job("reproduce", options.parse_words(["losses", f"data={file}"], "reproduce"))
    val = Plan(job, own_classifier=True, shared=OnePhoto()).val
    assert (val.root, val.split, val.annotations) == (tmp_path, "val", None)


def digests(*words: str) -> list[str]:
    return [step.folder.name.rpartition("-")[2] for step in steps(*words)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["28132523", "dcc9b2b6", "495aa4d1", "9f5d1f81"]),
        (("model.weights=imagenet",), ["28132523", "dcc9b2b6", "495aa4d1", "9f5d1f81"]),
        (("model.weights=default",), ["cf1dff42", "5014df29", "ae419a7e", "5c13f6cf"]),
        (("model.weights=none",), ["470f4fd4", "589ddf94", "6644c99b", "ae701f34"]),
        (("-c", "voc_efficientnet_lite0"), ["998457b7", "2ef17209", "64c2191d", "c5993947"]),
        (("-c", "voc_resnet101"), ["de3211a4", "903af015", "045445ab", "456f4cbe"]),
        (
            ("classifier=resnet50", "classifier_weights=none"),
            ["0ee86b16", "c7c5978f", "689916d2", "63e17e68"],
        ),
    ],
)
def test_folders_of_runs_without_a_weight_file_keep_their_names(
    words: tuple[str, ...], expected: list[str]
) -> None:
    """Finished runs are found again by these names, whichever version made them."""
    assert digests(*words) == expected


def test_another_content_of_a_weight_file_is_other_folders(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    word = f"model.weights={file}"
    absent = digests(word)
    file.write_bytes(b"one")
    one = digests(word)
    file.write_bytes(b"two")
    two = digests(word)
    assert all(len({*of_a_step}) == 3 for of_a_step in zip(absent, one, two, strict=True))
    file.write_bytes(b"one")
    assert digests(word) == one
    other = file.rename(tmp_path / "other.safetensors")
    assert digests(f"model.weights={other}") == one
    assert f"model.weights={other}" in steps(f"model.weights={other}")[0].command


def test_a_weight_file_of_the_classifier_alone_changes_all_that_builds_on_it(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    words = ("classifier=resnet50", f"classifier_weights={file}")
    file.write_bytes(b"one")
    one = digests(*words)
    file.write_bytes(b"two")
    assert not {*one} & {*digests(*words)}


def test_a_weight_file_is_read_once_for_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, read = tmp_path / "w.pth", []
    file.write_bytes(b"one")
    monkeypatch.setattr(reproduce_steps, "file_digest", lambda path: read.append(path) or "digest")
    steps(f"model.weights={file}")
    assert read == [file]
