"""Exact solutions of gradient flow, and where they hold."""
