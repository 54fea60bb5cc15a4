"""Run folders: their names, when a job can continue in one, and reading labels back from them."""
