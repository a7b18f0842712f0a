"""Checks of an installation and of models, and their speed."""
