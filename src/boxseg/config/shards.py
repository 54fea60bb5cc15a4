"""Labels in shards."""

from __future__ import annotations

from dataclasses import dataclass

from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Shards:
    """How large the shards of label.store=shards are.

    Args:
        most_photos: Most photos in a shard. What a killed command loses is at most one shard a process.
        most_megabytes: A shard that has reached this size is closed, too.
    """

    most_photos: int = 1000
    most_megabytes: int = 256

    def __post_init__(self) -> None:
        for name in ("most_photos", "most_megabytes"):
            require(getattr(self, name) >= 1, f"shards.{name} must be at least 1, got {getattr(self, name)}")
