"""Whether the end-to-end field is the gradient of an explicit loss."""
