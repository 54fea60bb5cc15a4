"""Run folders: what they are called, when a job can continue in one, and reading labels back from them."""
