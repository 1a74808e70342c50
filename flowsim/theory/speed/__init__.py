"""How many iterations gradient descent takes to a fraction of the initial excess loss."""
