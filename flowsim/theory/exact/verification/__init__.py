"""Verification of an installation against exact solutions."""
