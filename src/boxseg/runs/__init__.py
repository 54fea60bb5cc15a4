"""Run folders: what they are called, when they can be gone on with, and reading labels back from them."""
