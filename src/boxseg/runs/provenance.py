"""What the results of each photo were made from, so that nothing made from another photo or box counts as done.

A run folder has a line for each photo in provenance.jsonl. `label` adds it once the photo's files are on the
disk: a photo without a line, such as one whose files were lost with the power, is done again. A training writes
all lines when it begins, and refuses to go on with other photos, boxes or labels.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from boxseg.atomic import append_text, atomic_path, sync_files
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import ConfigError
from boxseg.formats.files import content_digest
from boxseg.formats.masks import truth_digest
from boxseg.formats.samples import chosen
from boxseg.remote.hooks import publication_of
from boxseg.runs.layout import AT_ADDRESS, PROVENANCE
from boxseg.runs.stage_files import StageFiles

if TYPE_CHECKING:
    from boxseg.remote.published import Publication

# Photos whose files are synced together.
_TOGETHER = 32
# Photos that a message names.
_NAMED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What the results of one photo were made from.

    Attributes:
        size: Bytes of the photo; -1 where it could not be read.
        time: When it was last changed, nanoseconds.
        photo: Digest of its content; empty where only size and time were looked at.
        boxes: Digest of its boxes and their classes, and of corrections of their masks.
        labels: Digest of the labels that a network learned from; empty for other results.
    """

    size: int
    time: int
    photo: str = ""
    boxes: str = ""
    labels: str = ""

    def same_photo(self, path: Path) -> bool:
        """Whether the photo is still the same. Its content counts where its time alone has changed."""
        size, time = file_state(path)
        if size != self.size or size < 0:
            return False
        return time == self.time or self.photo in ("", content_digest(path))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Which photos of a data set still have to be worked on.

    Attributes:
        missing: These, in the order of the data set.
        changed: How many of them have results of another photo or of other boxes.
        kept: What is recorded of the others.
    """

    missing: Sequence[Sample]
    changed: int
    kept: dict[str, Origin]


def standing(folder: Path, dataset: BoxDataset, files: StageFiles, *, anew: bool = False) -> Standing:
    """Compare what a folder holds with the photos and boxes as they are now.

    Args:
        folder: The run folder.
        dataset: The photos.
        files: The files of each photo.
        anew: Whether nothing that is there counts.

    Raises:
        ConfigError: The folder holds results of other photos only.
    """
    if anew:
        return Standing(missing=dataset.samples, changed=0, kept={})
    recorded = read_provenance(folder)
    if not recorded:
        return Standing(missing=dataset.samples, changed=0, kept={})
    if not any(sample.id in recorded for sample in dataset.samples):
        raise ConfigError(
            f"{folder} holds results of other photos, such as {next(iter(recorded))}: choose another out=…, or "
            "start again with overwrite=true"
        )
    done, changed = set[str](), 0
    for sample in dataset.samples:
        origin = recorded.get(sample.id)
        if origin is None or files.lacks(sample):
            continue
        if origin.boxes == boxes_digest(sample, dataset.classes) and origin.same_photo(sample.image):
            done.add(sample.id)
        else:
            changed += 1
    return Standing(
        missing=chosen(dataset.samples, (sample.id not in done for sample in dataset.samples)),
        changed=changed,
        kept={name: origin for name, origin in recorded.items() if name in done},
    )


def origins_of(dataset: BoxDataset, labels: Callable[[Sample], str] = lambda _: "") -> dict[str, Origin]:
    """Origins of a training: photos by size, without reading them, and boxes and labels by content.

    Args:
        dataset: The photos that are trained on.
        labels: Digest of the labels of a photo.
    """
    return {sample.id: _origin(sample, dataset.classes, labels=labels(sample)) for sample in dataset.samples}


def check_origins(folder: Path, now: Mapping[str, Origin]) -> None:
    """Check that the training in a folder is of these photos, boxes and labels.

    Raises:
        ConfigError: It is of others.
    """
    before = read_provenance(folder)
    if not before:
        return
    changed = [
        name
        for name, origin in now.items()
        if (old := before.get(name))
        and (old.size, old.boxes, old.labels) != (origin.size, origin.boxes, origin.labels)
    ]
    new, gone = [name for name in now if name not in before], [name for name in before if name not in now]
    said = [
        f"{_photos(names)} {what}"
        for names, what in ((changed, "changed"), (new, "new"), (gone, "gone"))
        if names
    ]
    if said:
        raise ConfigError(
            f"{folder} holds a training on other photos, boxes or labels ({'; '.join(said)}): choose another "
            "out=…, or start again with overwrite=true"
        )


def boxes_digest(sample: Sample, classes: Sequence[str]) -> str:
    """Digest of what a photo's annotations say: its size, boxes with their classes, and ignored regions.

    What somebody wants in place of masks is part of it.
    """
    names = [classes[label - 1] for label in sample.labels.tolist()]
    said = json.dumps([sample.width, sample.height, sample.labels.tolist(), names])
    digest = hashlib.blake2b(said.encode(), digest_size=16)
    digest.update(sample.boxes.tobytes())
    digest.update(sample.crowds.tobytes())
    if sample.corrections:
        digest.update(json.dumps(sorted(sample.corrections.items())).encode())
    return digest.hexdigest()


def scored_digest(dataset: BoxDataset) -> str:
    """Digest of what a network is scored on: the photos by size, their boxes, and ground truth by content."""
    origins = origins_of(dataset, lambda sample: truth_digest(sample.ground_truth))
    said = [(name, origin.size, origin.boxes, origin.labels) for name, origin in origins.items()]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def read_provenance(folder: Path) -> dict[str, Origin]:
    """The recorded origin of each photo; a line that cannot be read, such as one cut short, is left out."""
    file = folder / PROVENANCE
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return dict(entry for line in lines if (entry := _entry(line)) is not None)


def write_provenance(folder: Path, origins: Mapping[str, Origin]) -> None:
    """Record these origins, in place of what was there."""
    with atomic_path(folder / PROVENANCE) as temporary:
        temporary.write_text("".join(_line(name, origin) for name, origin in origins.items()), encoding="utf-8")
    if (publication := publication_of(folder, AT_ADDRESS)) is not None:
        publication.send_record()


class Recorder:
    """Records photos once their results are on the disk. A thread reads photos and waits for the disk.

    Args:
        add: Adds lines to the record.
        classes: Names of classes 1..L.
        files: The files of a photo's own, which are synced here; none where its results lie with others.
        thread: An executor of one thread.
        publication: Puts the files to the address of the folder, if it has one.
    """

    def __init__(
        self,
        add: Callable[[str], object],
        classes: Sequence[str],
        files: Callable[[Sample], Iterable[Path]],
        thread: Executor,
        publication: Publication | None = None,
    ) -> None:
        self._add, self._classes, self._files, self._thread = add, classes, files, thread
        self._publication = publication
        self._made: dict[str, Sample] = {}
        self._lines: dict[str, Future[str]] = {}
        self._waiting: list[Sample] = []
        self._running: deque[Future[None]] = deque()

    def made(self, sample: Sample) -> None:
        """Take note of a photo whose results are made, and not yet on the disk."""
        self._made[sample.id] = sample
        if not any(True for _ in self._files(sample)):  # so that nothing is left to do when they are there
            self._lines[sample.id] = self._thread.submit(_line_of, sample, self._classes)

    def kept(self, names: Iterable[str], holding: Sequence[Path] = ()) -> None:
        """Record photos whose results are written, and on the disk where they lie with others, in `holding`."""
        lines = []
        for name in names:
            sample = self._made.pop(name)
            if name in self._lines:
                lines.append(self._lines.pop(name).result())
                continue
            self._waiting.append(sample)
            if len(self._waiting) >= _TOGETHER:
                self._record()
        if lines:
            text = "".join(lines)
            if self._publication is not None:
                self._publication.send(holding)
                self._publication.send_lines(text)
            self._add(text)
        while self._running and self._running[0].done():
            self._running.popleft().result()  # raises what the disk said

    def end(self) -> None:
        """Wait until all are recorded that are kept."""
        self._record()
        for future in self._running:
            future.result()

    def _record(self) -> None:
        samples = tuple(self._waiting)
        self._running.append(
            self._thread.submit(_record, self._add, self._classes, self._files, samples, self._publication)
        )
        self._waiting.clear()


@contextmanager
def recording(
    folder: Path,
    classes: Sequence[str],
    files: Callable[[Sample], Iterable[Path]],
    add: Callable[[str], object] | None = None,
) -> Iterator[Recorder]:
    """What is told of each photo that is done, and records it once its results are on the disk.

    Several processes of a machine may record in one folder: the lines are written by one call of the system.
    Those of other machines get them by `add`, and send them to one that writes them by `add_lines`.
    """
    with ThreadPoolExecutor(1, "provenance") as thread:
        add = add or partial(append_text, folder / PROVENANCE)
        recorder = Recorder(add, classes, files, thread, publication_of(folder, AT_ADDRESS))
        try:
            yield recorder
        finally:
            recorder.end()


def add_lines(folder: Path, lines: Iterable[str]) -> None:
    """Add lines that processes of other machines have recorded."""
    if text := "".join(lines):
        append_text(folder / PROVENANCE, text)


def _record(
    add: Callable[[str], object],
    classes: Sequence[str],
    files: Callable[[Sample], Iterable[Path]],
    samples: Sequence[Sample],
    publication: Publication | None,
) -> None:
    """Wait until the files of photos are on the disk, or at the address of the folder, and add their lines."""
    paths = [path for sample in samples for path in files(sample)]
    sync_files(paths)
    lines = "".join(_line_of(sample, classes) for sample in samples)
    if publication is not None and samples:
        publication.send(paths)
        publication.send_lines(lines)
    add(lines)


def _line_of(sample: Sample, classes: Sequence[str]) -> str:
    return _line(sample.id, _origin(sample, classes, content=True))


def _origin(sample: Sample, classes: Sequence[str], *, content: bool = False, labels: str = "") -> Origin:
    size, time = file_state(sample.image)
    photo = content_digest(sample.image) if content and size >= 0 else ""
    return Origin(size=size, time=time, photo=photo, boxes=boxes_digest(sample, classes), labels=labels)


def file_state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change of a file; -1 where there is none."""
    try:
        state = path.stat()
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


def _photos(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _NAMED else ""
    return f"{len(names)} {'photo' if len(names) == 1 else 'photos'} ({', '.join(names[:_NAMED])}{more})"


def _entry(line: str) -> tuple[str, Origin] | None:
    """Name and origin in a line, if it is whole."""
    try:
        content = json.loads(line)
        return str(content.pop("id")), Origin(**content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _line(name: str, origin: Origin) -> str:
    return json.dumps({"id": name, **asdict(origin)}, separators=(",", ":")) + "\n"
