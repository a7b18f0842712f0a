"""The public input schema as dargs arguments, one module per section."""
