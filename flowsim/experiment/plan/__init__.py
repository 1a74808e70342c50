"""What a scenario will do and cost, known before it runs: variables, claims, measures, memory."""
