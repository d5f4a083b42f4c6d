"""This machine: a broker of one's own on it (a real nats-server with JetStream, started on demand, reachable from here only), and files."""
