"""Trains the head, the part that scores windows: `logwarden train`."""
