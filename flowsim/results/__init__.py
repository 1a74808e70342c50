"""The results of a run: named arrays and a summary, in memory and on disk."""
