"""What is simulated: a loss of the end-to-end matrix and the initial layers of a network."""
