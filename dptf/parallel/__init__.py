"""Several processes as one run: the world a launcher made, the collectives on it, and the launcher's side of it."""
