"""The process in which simulations run: JAX's settings, warnings, and programs on disk."""
