"""What each command of `logwarden` does, one file per command. `logwarden.daemon.__main__` owns names, options and exit codes."""
