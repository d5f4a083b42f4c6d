"""A broker of one's own: a real nats-server with JetStream, started on demand, reachable from this machine only."""
