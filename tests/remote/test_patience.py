"""What is asked again, how long is waited, and what is said; nothing of it holds a key."""

from __future__ import annotations

import errno
import random

import pytest

from boxseg.remote import patience
from boxseg.remote.patience import ATTEMPTS, Damaged, StorageError, persistently


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited, without waiting."""
    found: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", found.append)
    return found


class Asked:
    """Raises errors, one after another, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.times = list(errors), 0

    def __call__(self) -> str:
        self.times += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def http(status: int) -> OSError:
    """An error as s3fs makes it of an answer that it has no name for."""
    cause = Exception("of botocore")
    cause.response = {"ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    error = OSError(errno.EIO, "of s3fs")
    error.__cause__ = cause
    return error


PASSING = [
    OSError(errno.EBUSY, "Please reduce your request rate."),
    TimeoutError("read timed out"),
    ConnectionResetError("reset"),
    Damaged("3 bytes of 9 came"),
    http(500),
    http(429),
    RuntimeError("of a library"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_asked_again(error: Exception, waits: list[float]) -> None:
    asked = Asked(error, error)
    assert persistently(asked, "s3://b/a") == "answer"
    assert asked.times == 3
    assert len(waits) == 2


def test_waits_grow_and_are_drawn(waits: list[float]) -> None:
    random.seed(0)
    with pytest.raises(StorageError, match=f"s3://b/a: no usable answer in {ATTEMPTS} attempts .*goes on"):
        persistently(Asked(*[TimeoutError("slow")] * 99), "s3://b/a")
    assert len(waits) == ATTEMPTS - 1
    for number, wait in enumerate(waits):
        longest = min(patience.LONGEST, patience.FIRST * 2**number)
        assert longest / 2 <= wait <= longest
    assert len({round(wait / 2**number, 6) for number, wait in enumerate(waits)}) > 1, (
        "not all by the same share"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "refuses access .*AWS_ACCESS_KEY_ID.*AWS_PROFILE"),
        (http(401), "refuses access"),
        (http(403), "refuses access"),
        (type("NoCredentialsError", (Exception,), {})("none"), "no credentials .*FSSPEC_S3_ANON=true"),
        (type("ParamValidationError", (Exception,), {})("bucket"), "check the address"),
        (http(400), "check the address"),
    ],
)
def test_a_refusal_is_said_at_once(error: Exception, said: str, waits: list[float]) -> None:
    asked = Asked(error)
    with pytest.raises(StorageError, match=f"^s3://b/a: .*{said}") as refused:
        persistently(asked, "s3://b/a")
    assert "\n" not in str(refused.value)
    assert asked.times == 1
    assert not waits


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), TypeError("ours"), KeyboardInterrupt()])
def test_what_is_no_matter_of_the_store_is_raised(error: BaseException, waits: list[float]) -> None:
    with pytest.raises(type(error)):
        persistently(Asked(error), "s3://b/a")
    assert not waits


def test_others_do_not_try_for_long_once_one_has_given_up(waits: list[float]) -> None:
    asked = Asked(*[TimeoutError("slow")] * 99)
    with pytest.raises(StorageError):
        persistently(asked, "s3://b/a", lambda: True)
    assert asked.times == 1


@pytest.mark.parametrize("text", ["GET https://h/?X-Amz-Signature=0af1", "refused secret-in-environment for a"])
def test_no_key_is_repeated(text: str, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-in-environment")
    for error in (PermissionError(text), OSError(errno.EIO, text)):
        with pytest.raises(StorageError) as refused:
            persistently(Asked(*[error] * 99), "s3://b/a")
        assert not any(secret in str(refused.value) for secret in ("0af1", "secret-in"))
        assert type(error).__name__ in str(refused.value)


def test_the_message_of_a_loading_process_is_one_line() -> None:
    inner = "Caught StorageError in worker 0.\nTraceback\nboxseg.remote.patience.StorageError: s3://b: no"
    assert str(StorageError(inner)) == "s3://b: no"
