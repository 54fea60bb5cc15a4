"""A hub that cannot be reached is one line, not a line for each try of its client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boxseg.config import Data, Label
from boxseg.data.toy import write_toy
from boxseg.errors import BoxsegError
from boxseg.formats import load
from boxseg.jobs import LabelJob
from boxseg.labelling import from_sam
from boxseg.nn.backbones.registry import build_backbone

transformers = pytest.importorskip("transformers")

# The client's own, which says of each try that it failed and when the next one comes.
CLIENT = logging.getLogger("huggingface_hub.utils._http")


def backbone(_: Path) -> None:
    build_backbone("hf:nobody/nothing")  # type: ignore[arg-type]


def network(folder: Path) -> None:
    write_toy(folder, train=1, val=1, size=64)
    job = LabelJob(data=Data(root=folder), out=folder, label=Label(method="sam", sam="nobody/nothing"))
    from_sam.start(job, load(job.data))


@pytest.mark.parametrize("start", [backbone, network])
def test_its_client_says_nothing(
    start: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = CLIENT.isEnabledFor(logging.WARNING)
    heard = []

    def unreachable(*_: Any, **__: Any) -> None:
        heard.append(CLIENT.isEnabledFor(logging.WARNING))
        raise OSError("We couldn't connect")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(BoxsegError, match="We couldn't connect"):
        start(tmp_path)
    assert heard == [False]
    assert before
    assert CLIENT.isEnabledFor(logging.WARNING)
