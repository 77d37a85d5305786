"""Answers agents about incidents and services, within a bound of tokens, from the HTTP API of daemons; no model."""
