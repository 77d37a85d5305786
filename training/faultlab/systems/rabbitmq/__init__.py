"""RabbitMQ in the fault lab."""
