"""`python -m flowsim`."""

from flowsim.cli import entry

entry()
