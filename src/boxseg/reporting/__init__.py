"""The report of a run, and its picture sheet."""
