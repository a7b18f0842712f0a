"""Reading ``input.json``: conversion of old layouts, the schema, checks, and messages that name file, key and fix.

Nothing here imports TensorFlow or NumPy, so that a mistake is reported at once.
"""
