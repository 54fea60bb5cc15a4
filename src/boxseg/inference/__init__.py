"""Networks on whole photos: devices, scales, windows, threads and processes, and predictors to call."""
