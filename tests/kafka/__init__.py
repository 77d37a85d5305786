"""Tests against a real Apache Kafka broker. Everything here is marked `kafka`."""
