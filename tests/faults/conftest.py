from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


class _Encodable(logging.Filter):
    """Names that are no UTF-8 by their codes: pytest-xdist cannot hand on what was logged of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = str(record.msg).encode(errors="backslashreplace").decode()
        return True


@pytest.fixture(autouse=True)
def encodable_log() -> Iterator[None]:
    log, names = logging.getLogger("boxseg"), _Encodable()
    log.addFilter(names)
    yield
    log.removeFilter(names)
