"""The report: a run in one HTML file that needs nothing else, not even a network connection."""
