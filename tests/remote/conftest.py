"""A store with photos, and the environment of commands that read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_store import BUCKET, KEY, SECRET, FaultyStore, client, empty, faulty_store


@pytest.fixture(scope="session")
def running_store() -> Iterator[FaultyStore]:
    for package in ("s3fs", "moto", "flask", "flask_cors", "boto3"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'boxseg[cloud,dev]'")
    with faulty_store() as running:
        yield running


@pytest.fixture
def store(running_store: FaultyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyStore]:
    """The server with an empty bucket, its keys in the environment, and a cache of the test's own."""
    from boxseg.remote import patience
    from boxseg.remote.store import forget

    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    values = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": running_store.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "FSSPEC_S3": '{"config_kwargs": {"read_timeout": 1}}',
        "BOXSEG_CACHE": str(tmp_path / "cache"),
        "no_proxy": "127.0.0.1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 1}})
    monkeypatch.setattr(patience, "FIRST", 0.01)
    forget()
    client().create_bucket(Bucket=BUCKET)
    running_store.asked.clear()
    running_store.faults.clear()
    running_store.met.clear()
    running_store.at_once, running_store.delay = 0, 0.0
    yield running_store
    running_store.faults.clear()
    running_store.delay = 0.0
    empty()
    forget()
