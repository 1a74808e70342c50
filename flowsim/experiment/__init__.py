"""Running one scenario: every flow and step size from one initialization, compared and judged."""
