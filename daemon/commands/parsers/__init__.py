"""Names and options of the commands, one file each. Imports nothing heavy, so that `--help` answers at once."""
