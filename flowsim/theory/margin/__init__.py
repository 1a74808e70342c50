"""The margin of a linear classifier beside the maximum margin."""
