"""Options that the command line also takes as bare words."""

# `field(metadata=POSITIONAL)` marks them.
POSITIONAL = {"positional": True}
