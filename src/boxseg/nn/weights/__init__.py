"""Pretrained weights: files, the names that other projects give to tensors, and loading."""
