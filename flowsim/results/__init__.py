"""What came out of a run: named arrays and a summary, in memory and on disk."""
