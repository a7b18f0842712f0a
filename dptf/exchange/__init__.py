"""Models in the backend-neutral form: ``.dp`` (HDF5) and ``.yaml`` files, and their translation from and to graphs.

A descriptor or fitting kind is one small module here with ``read`` (tree -> section of the input and values by variable
name) and ``write`` (the reverse), registered in `kinds`.
"""
