from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import assume, given
from hypothesis import strategies as st

from boxseg.formats.files import leads_out


@given(st.text("aC:/\\. ", max_size=8))
def test_what_leads_out_is_what_either_system_calls_rooted_or_goes_up(name: str) -> None:
    assume(name[1:2] != ":" or name[0].isalpha())  # no drive; Python 3.13 takes it for one all the same
    windows = PureWindowsPath(name)
    shared = windows.drive.startswith("\\")  # to which Python 3.13 gives no root
    rooted = PurePosixPath(name).is_absolute() or bool(windows.root) or shared or bool(re.match("[aC]:", name))
    up = ".." in PurePosixPath(name).parts or ".." in windows.parts
    assert leads_out(name) == (rooted or up)
    assert not windows.drive or leads_out(name) or not windows.drive[0].isalpha()
