"""Turns a record's bytes into log lines; keeps no state."""
