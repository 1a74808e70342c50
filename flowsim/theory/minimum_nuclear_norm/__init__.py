"""The matrix of minimum nuclear norm that meets the measurements."""
