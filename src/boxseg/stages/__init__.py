"""The steps from boxes to a scored network, one file each; every one has a function `run(job)`."""
