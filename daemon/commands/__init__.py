"""The commands of `logwarden`, one file each. Their names and options are in `parsers/`, one file each too."""
