"""What a scenario will compute and cost, before it runs: variables, claims, diagnostics, memory."""
