"""The preconditioner of the end-to-end flow."""
