"""Another attempt where a store is busy, slow or cut off; none where it refuses."""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from boxseg.errors import BoxsegError, chain_of, one_line
from boxseg.wording import counted

log = logging.getLogger("boxseg")

T = TypeVar("T")

# Attempts, and seconds to wait after the first and at most: some 15 in all, more if they run into timeouts.
ATTEMPTS, FIRST, LONGEST = 7, 0.25, 10.0

# Errors by the names of their types, as not all libraries of stores are installed: no usable credentials, and
# addresses that the library does not take.
_NO_KEYS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}
    | {"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "DefaultCredentialsError"}
    | {"ClientAuthenticationError"}
)
_WRONG = frozenset({"ParamValidationError", "InvalidRegionError", "NoRegionError", "InvalidConfigError"})
# Errors of gcsfs, Azure and aiohttp with the status of an answer.
_STATUS = {"HttpError": "code", "HttpResponseError": "status_code", "ClientResponseError": "status"}
# Names of variables of the environment that hold credentials.
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.IGNORECASE)
# Errors of Python that say something of the code, not of the store.
_OURS = (TypeError, AttributeError, NameError, LookupError, ImportError, MemoryError, NotImplementedError)


class StorageError(BoxsegError):
    """A store refuses, or does not answer: not a matter of one photo."""

    def __init__(self, message: str) -> None:
        # A process that loads photos hands its error on with a traceback in front of the message.
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


class Damaged(OSError):
    """What came is not what is stored: cut short, or of another checksum."""


def persistently(ask: Callable[[], T], address: str, given_up: Callable[[], bool] = lambda: False) -> T:
    """The answer of a store, which is asked again after longer and longer waits, each drawn at random.

    Once `given_up` says so, because another thread has asked in vain, nothing is asked again.

    Raises:
        FileNotFoundError: There is no such object.
        StorageError: The credentials do not do, the address is none, or there was no answer to any attempt.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except (BoxsegError, FileNotFoundError, *_OURS):  # noqa: PERF203
            raise
        except Exception as error:
            if (refusal := _refusal(error, address)) is not None:
                raise refusal from error
            if attempt == ATTEMPTS or given_up():
                raise StorageError(
                    f"{address}: no usable answer in {counted(ATTEMPTS, 'attempt')} ({_said(error)}): the same "
                    "command goes on where it stopped"
                ) from error
            # Many processes that were turned away at once must not come back at once.
            wait = random.uniform(0.5, 1.0) * min(LONGEST, FIRST * 2 ** (attempt - 1))
            log.debug(f"{address}: {_said(error)}; again in {wait:.1f} s")
            time.sleep(wait)
    raise AssertionError


def _refusal(error: Exception, address: str) -> StorageError | None:
    """What to say of an error that another attempt would meet again."""
    names = {type(part).__name__ for part in chain_of(error)}
    scheme = address.partition(":")[0]
    if names & _NO_KEYS:
        return StorageError(
            f"{address}: no credentials ({_said(error)}): set {_keys(scheme)}, or "
            f"FSSPEC_{scheme.upper()}_ANON=true for data that anybody may read"
        )
    if isinstance(error, PermissionError) or _status(error) in (401, 403):
        return StorageError(
            f"{address}: the store refuses access ({_said(error)}): check {_keys(scheme)}, and that they may "
            "read there (and write, for out=)"
        )
    if names & _WRONG or _status(error) in (301, 400, 405, 501):
        return StorageError(f"{address}: cannot be used ({_said(error)}): check the address")
    return None


def _keys(scheme: str) -> str:
    if scheme in ("s3", "s3a"):
        return (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (AWS_ENDPOINT_URL of other providers)"
        )
    return f"the credentials of {scheme}:// in the environment, as fsspec wants them"


def _status(error: Exception) -> int:
    """The status of an HTTP answer, as the libraries keep it; 0 where there is none.

    A `code` alone tells nothing: aiohttp has 400 for a body that is cut short.
    """
    for part in chain_of(error):
        response = getattr(part, "response", None)
        if isinstance(response, dict):  # of botocore
            return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        name = _STATUS.get(type(part).__name__)
        if name and str(getattr(part, name, "")).isdigit():
            return int(getattr(part, name))
    return 0


def _said(error: Exception) -> str:
    """What an error says on one line, if that holds neither a key nor the signature of a request."""
    text = one_line(error)
    keys = [value for name, value in os.environ.items() if _SECRET.search(name) and len(value) > 5]
    secret = any(word in text for word in (*keys, "Signature=", "Credential=", "Authorization"))
    return type(error).__name__ if secret or not text else text[:200]
