"""Upper floor: the daemon. Only its `kafka.py` imports the Kafka client, only its `scorer.py` imports torch."""
