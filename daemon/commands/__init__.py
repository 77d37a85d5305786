"""The commands of `logwarden`, one file each. Names, options and exit codes belong to `logwarden.daemon.__main__`."""
