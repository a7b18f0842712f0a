"""Building blocks of the networks: activations, precisions, parameters, embedding and fitting nets."""
