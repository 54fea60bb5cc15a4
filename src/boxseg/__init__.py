"""boxseg."""
