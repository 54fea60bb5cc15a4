"""Labels, networks and object masks against ground truth."""
