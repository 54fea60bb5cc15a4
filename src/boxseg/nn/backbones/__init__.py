"""Feature extractors: our own, and those of timm and transformers."""
