"""How gradient descent loses balancedness, step by step, and its effect on W."""
