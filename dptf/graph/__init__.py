"""Frozen graphs: the names in them, freezing, loading and compression."""
