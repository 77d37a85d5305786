"""Fuzzers: random inputs and schedules for one part of the daemon each, against an oracle that is slow and obvious."""
