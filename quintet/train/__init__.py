"""Training: the loop, checkpoints, evaluation, tuning and the demo."""
