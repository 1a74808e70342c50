"""flowsim."""
