"""Pictures of training runs and tests, with matplotlib, which is needed for nothing else."""
