"""Photos, annotations and results in object stores: whatever fsspec reads, by its address, such as s3://bucket/key.

An address is a path (`address.RemotePath`), so that all readers work on it unchanged: a folder is listed once,
and what is read is copied whole to a bounded folder of this machine (`cache`). `hooks` is what the rest of
boxseg calls; for files of this machine it does nothing. fsspec is imported when the first address is opened.
"""

from __future__ import annotations
