"""The ``dp`` command: one module per subcommand, imported without TensorFlow or NumPy."""
