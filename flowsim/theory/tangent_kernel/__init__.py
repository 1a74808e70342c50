"""How far the neural tangent kernel moves from initialization."""
