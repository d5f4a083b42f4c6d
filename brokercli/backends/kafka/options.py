"""What a context may pass on to librdkafka. Importing this loads no client.

librdkafka loads shared libraries (`plugin.library.paths`, `ssl.engine.location`), runs shell commands
(`sasl.kerberos.kinit.cmd`) and follows URLs it is given (`sasl.oauthbearer.…`, `ssl.…` files), all as soon as a client is
configured; and what brokercli promises rests on `acks`, idempotence and offset settings that it chooses itself.
"""

from __future__ import annotations

from brokercli.backends.options import ClientOptions

OPTIONS = ClientOptions(
    allowed=frozenset({
        "client.id", "client.rack", "broker.address.family", "broker.address.ttl", "message.max.bytes", "receive.message.max.bytes",
        "max.in.flight.requests.per.connection", "topic.metadata.refresh.interval.ms", "metadata.max.age.ms", "metadata.recovery.strategy",
        "socket.timeout.ms", "socket.send.buffer.bytes", "socket.receive.buffer.bytes", "socket.keepalive.enable", "socket.nagle.disable",
        "socket.connection.setup.timeout.ms", "connections.max.idle.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "client.dns.lookup",
        "retry.backoff.ms", "retry.backoff.max.ms", "request.timeout.ms", "api.version.request.timeout.ms",
        "linger.ms", "batch.size", "batch.num.messages", "queue.buffering.max.messages", "queue.buffering.max.kbytes", "queue.buffering.max.ms",
        "compression.type", "compression.codec", "compression.level", "sticky.partitioning.linger.ms", "transaction.timeout.ms",
        "fetch.wait.max.ms", "fetch.min.bytes", "fetch.max.bytes", "fetch.message.max.bytes", "max.partition.fetch.bytes", "fetch.queue.backoff.ms",
        "fetch.error.backoff.ms", "queued.min.messages", "queued.max.messages.kbytes", "isolation.level", "check.crcs",
        "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms",
        "ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "sasl.kerberos.service.name", "sasl.kerberos.principal",
    }),
    own=frozenset({
        "acks", "request.required.acks", "enable.idempotence", "transactional.id", "delivery.timeout.ms", "message.timeout.ms", "enable.auto.commit",
        "enable.auto.offset.store", "auto.offset.reset", "group.id", "allow.auto.create.topics", "partitioner", "dr_cb", "on_delivery",
    }),
    in_the_context={
        "bootstrap.servers": "url", "metadata.broker.list": "url", "security.protocol": "url (kafkas:// means TLS)", "sasl.username": "user",
        "sasl.password": "password", "sasl.mechanism": "mechanism", "sasl.mechanisms": "mechanism", "ssl.ca.location": "tls.ca",
        "ssl.certificate.location": "tls.certificate", "ssl.key.location": "tls.key", "ssl.key.password": "tls.key_password",
        "enable.ssl.certificate.verification": "tls.insecure", "ssl.endpoint.identification.algorithm": "tls.insecure",
    })
