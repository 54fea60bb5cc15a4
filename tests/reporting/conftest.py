"""One browser for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A report_browser.Browser."""
    from report_browser import Browser

    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.driver.quit()
