"""Training: schedules, checkpoints, the loop."""
