"""One command-line toolbox for Kafka, NATS/JetStream and RabbitMQ."""

__version__ = "0.1.0"
