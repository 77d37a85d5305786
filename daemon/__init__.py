"""Upper floor: the daemon. Only `daemon.kafka` imports the Kafka client, only `daemon.scorer` imports torch."""
