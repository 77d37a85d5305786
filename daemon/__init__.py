"""Upper floor: the daemon. Only `logwarden.daemon.kafka` imports the Kafka client, only `logwarden.daemon.scorer` imports torch."""
