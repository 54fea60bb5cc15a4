"""Annotation formats: one format, one file. Nothing here imports torch."""
