"""Deterministic simulation of the daemon: the real pipeline on simulated ports, in virtual time, replayed by a seed."""
