"""Reading and writing TOML, with the line of every key."""
