"""A campaign of faults against real daemons on a real broker, and the account of every line in it."""
