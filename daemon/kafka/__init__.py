"""The Kafka client behind the ports; the only importers of aiokafka."""
