"""The dynamics of singular values under balanced layers."""
