"""Exact solutions of gradient flow, and the problems to which they apply."""
