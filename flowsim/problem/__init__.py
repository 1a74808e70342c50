"""What is simulated: a loss of the end-to-end matrix and the layers it starts from."""
