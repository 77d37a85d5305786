"""The daemon: Kafka in, alerts out. Each folder is one idea; ARCHITECTURE.md has the map."""
