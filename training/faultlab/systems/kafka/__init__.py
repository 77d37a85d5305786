"""Apache Kafka in the fault lab."""
