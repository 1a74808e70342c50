"""Every mistake of a scenario at once: in each table, across tables, in every variant."""
