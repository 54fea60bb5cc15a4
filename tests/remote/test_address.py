"""Addresses behave as paths do; one with a secret in it is refused before it stands anywhere."""

from __future__ import annotations

import copy
import pickle
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import boxseg
from boxseg.cli import execute
from boxseg.errors import ConfigError
from boxseg.options import build_job, parse_words, to_words, to_yaml
from boxseg.remote.address import RemotePath, as_path, commonpath, is_address, normpath
from boxseg.remote.listing import Entry, Listing
from boxseg.remote.store import forget, store_of

NAMES = st.text("ab.-_ é[", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
PARTS = st.lists(NAMES, min_size=1, max_size=4)


def remote(*parts: str) -> RemotePath:
    path = as_path("/".join(("s3://bucket", *parts)))
    assert isinstance(path, RemotePath)
    return path


@given(PARTS, PARTS)
def test_it_is_taken_apart_and_put_together_as_plain_paths_are(some: list[str], more: list[str]) -> None:
    top, plain = remote(), PurePosixPath("/bucket")
    own, other = top.joinpath(*some) / "/".join(more), plain.joinpath(*some) / "/".join(more)
    assert str(own) == f"s3:/{other}"
    assert (own.name, own.suffix, own.stem) == (other.name, other.suffix, other.stem)
    assert own.relative_to(top.joinpath(*some)) == Path(*more)
    assert not isinstance(own.relative_to(top), RemotePath)
    assert str(own.parent) == f"s3:/{other.parent}"
    assert str(own.with_name("x.png")) == f"s3:/{other.with_name('x.png')}"
    assert own.is_relative_to(top)
    assert not own.is_relative_to(remote("elsewhere", "x", "y", "z", "w", "v"))
    assert as_path(str(own)) == own
    assert as_path(Path(str(own))) == own, "pathlib leaves one slash of two"
    assert isinstance(as_path(Path(str(own))), RemotePath)
    assert hash(as_path(str(own))) == hash(own)


def test_what_it_is_joined_with_may_be_a_path_from_the_top(tmp_path: Path) -> None:
    assert remote("a") / tmp_path == tmp_path
    assert tmp_path / remote("a") == remote("a")
    assert isinstance(tmp_path / remote("a"), RemotePath)
    assert remote("a").absolute() == remote("a").resolve() == remote("a").expanduser() == remote("a")
    assert not remote("a").samefile(tmp_path)


def test_folders_in_common() -> None:
    assert str(commonpath([remote("a", "b", "c"), remote("a", "d")])) == "s3://bucket/a"
    assert str(normpath(remote("a") / ".." / "b")) == "s3://bucket/b"
    assert commonpath([Path("/a/b"), Path("/a/c")]) == Path("/a")


@pytest.mark.parametrize(
    "text", ["photos", "/a/b", "C:/photos", "C://photos", "a:b", "./s3:x", "file:///x", "s3:"]
)
def test_what_is_no_address_stays_what_it_is(text: str) -> None:
    assert not is_address(text)
    assert type(as_path(text)) is type(Path())


def test_other_processes_are_told_what_is_known() -> None:
    forget()
    entry = Entry(7, 5_000_000_000, "tag")
    store = store_of(remote())
    store._listings["s3://bucket/a"] = Listing([("x.jpg", entry)])
    content = pickle.dumps(remote("a", "x.jpg"))
    forget()
    path = pickle.loads(content)
    assert path == remote("a", "x.jpg")
    assert path.stat().st_size == 7, "without a question to a store"
    assert path.stat().st_mtime_ns == 5_000_000_000
    assert copy.deepcopy(path) == path
    forget()


TREES = st.sets(
    st.lists(st.sampled_from(["a", "b", "a.jpg", "b.xml", ".a"]), min_size=1, max_size=3).map("/".join),
    max_size=8,
)
PATTERNS = [
    "*",
    "*/",
    "*/*",
    "**/*",
    "**/*.jpg",
    "a*",
    "*/a.jpg",
    "a/*.xml",
    "**",
    "*/*/",
    "[ab]*",
    "a",
    "a/b.xml",
]


@given(TREES, st.sampled_from(PATTERNS))
def test_patterns_match_what_they_match_on_a_disk(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], pattern: str
) -> None:
    # On a disk a file is no folder, too.
    keys = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    folder = tmp_path_factory.mktemp("tree")
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).touch()
    forget()
    top = remote("top")
    store_of(top)._listings[str(top)] = Listing((key, Entry(1, 0, "")) for key in sorted(keys))
    found = {path.relative_to(top).as_posix() for path in top.glob(pattern)}
    expected = {path.relative_to(folder).as_posix() for path in folder.glob(pattern)}
    if pattern.endswith("/"):  # before Python 3.11, a slash at the end said nothing
        expected = {name for name in expected if (folder / name).is_dir()}
    if not keys:  # a store has no empty folders
        expected = set()
    assert found == expected
    for key in {*keys, *(str(PurePosixPath(key).parent) for key in keys), "a", "missing"}:
        assert (top / key).is_file() == (folder / key).is_file()
        assert (top / key).is_dir() == ((folder / key).is_dir() and bool(keys))
    assert all(fnmatch(name, pattern.rstrip("/")) for name in found if "**" not in pattern)
    forget()


SECRETS = [
    "s3://AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI@bucket/photos",
    "https://host/photos?X-Amz-Credential=a&X-Amz-Signature=wJalrXUtnFEMI",
    "https://account.blob.core.windows.net/c/photos?sv=2022&sig=wJalrXUtnFEMI",
    "gs://bucket/photos?access_token=wJalrXUtnFEMI",
    "https://storage.googleapis.com/b/o?X-Goog-Signature=wJalrXUtnFEMI",
    "s3://AKIAIOSFODNN7EXAMPLE/photos",
]


@pytest.mark.parametrize("address", SECRETS)
@pytest.mark.parametrize(
    "words",
    [["doctor", "data={}"], ["label", "data=x", "out={}"], ["predict", "checkpoint=c", "images={}", "out=o"]],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(
    address: str,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute([*(word.format(address) for word in words), "--verbose"]) == 2
    said = capsys.readouterr().err
    assert "holds a password, key or signature" in said
    assert "AWS_PROFILE" in said
    assert said.count("\n") == 1
    assert not any(secret in said for secret in ("wJalr", "AKIA"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="holds a password, key or signature"):
        boxseg.doctor(data={"root": address})


@pytest.mark.parametrize("address", ["abfs://container@account.dfs.core.windows.net/p", "s3://b/what?.jpg"])
def test_what_only_looks_like_a_secret_is_not_refused(address: str) -> None:
    assert str(as_path(address)) == address


def test_options_keep_it_as_it_was_written() -> None:
    job = build_job("label", parse_words(["data=s3://bucket/photos/", "out=s3://bucket/out"], "label"))
    assert "data.root=s3://bucket/photos" in to_words("label", job)
    assert "out: s3://bucket/out" in to_yaml(job)
    again = build_job("label", parse_words(to_words("label", job)[1:], "label"))
    assert again == job


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "data=d", "out=s3://b/run"], "writes to a disk of this machine: give out=DIR"),
        (["run", "data=d", "out=s3://b/run"], "writes to a disk of this machine"),
        (
            ["segment", "data=d", "labels=s3://b/l", "out=o"],
            "labels=s3://b/l: boxseg segment reads this",
        ),
        (
            ["predict", "checkpoint=s3://b/m", "images=p", "out=o"],
            "checkpoint=s3://b/m: boxseg predict",
        ),
        (["report", "s3://b/run"], "run=s3://b/run: boxseg report reads this from a disk"),
        (["label", "data=d", "out=s3://b/o", "cluster=tcp://h:1"], "out=s3://b/o with cluster="),
        (["evaluate", "labels=s3://b/l", "data=s3://b/d"], "say where the scores go, by out=DIR"),
    ],
)
def test_where_none_will_do_one_line_says_what_to_do(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
