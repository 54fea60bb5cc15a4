"""From boxes to pseudo labels: the methods, and what is written of each photo."""
