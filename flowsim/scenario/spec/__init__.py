"""Scenarios as frozen data, one module per table of the file."""
