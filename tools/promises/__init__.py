"""The parts of tools/promises.py: one module per promise, and the program that runs them."""
