"""Labels in shards."""

from __future__ import annotations

from dataclasses import dataclass

from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Shards:
    """How large the shards of label.store=shards are.

    Args:
        photos: Most photos in a shard. What a killed command loses is at most one shard a process.
        megabytes: A shard that has reached this size is closed, too.
    """

    photos: int = 1000
    megabytes: int = 256

    def __post_init__(self) -> None:
        require(self.photos >= 1, f"shards.photos must be at least 1, got {self.photos}")
        require(self.megabytes >= 1, f"shards.megabytes must be at least 1, got {self.megabytes}")
