"""Training: configuration, batches, the loop, checkpoints and metrics."""
