"""What each command of `logwarden` does, one file per command. `daemon/__main__.py` owns names, options, exit codes."""
