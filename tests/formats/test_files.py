from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from boxseg.formats.files import leads_out


@given(st.text("aC:/\\. ", max_size=8))
def test_what_leads_out_is_what_either_system_calls_rooted_or_goes_up(name: str) -> None:
    windows = PureWindowsPath(name)
    rooted = PurePosixPath(name).is_absolute() or bool(windows.root) or re.match("[aC]:", name) is not None
    up = ".." in PurePosixPath(name).parts or ".." in windows.parts
    assert leads_out(name) == (rooted or up)
    assert not windows.drive or leads_out(name) or not windows.drive[0].isalpha()
