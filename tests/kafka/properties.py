"""server.properties of the tests' broker: one KRaft node on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stores:
    """The PEM files of a broker with TLS: its certificate with the key, and the authorities of its clients."""

    keystore: Path
    truststore: Path


def server_properties(
    ports: Mapping[str, int], data: Path, *, credentials: tuple[str, str] | None, stores: Stores | None
) -> str:
    """Returns the file's text. `credentials` (user, password) add the listener SASL, `stores` the listeners TLS and
    MTLS, which are advertised as localhost."""
    listeners, parts = "", []
    if credentials:
        listeners += f",SASL://127.0.0.1:{ports['sasl']}"
        parts.append(_SASL.format(user=credentials[0], password=credentials[1]))
    if stores:
        listeners += f",TLS://localhost:{ports['tls']},MTLS://localhost:{ports['mtls']}"
        parts.append(_TLS.format(keystore=stores.keystore, truststore=stores.truststore))
    return "".join([_PROPERTIES.format(**ports, more_listeners=listeners, data=data), *parts])


_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},PROXIED://127.0.0.1:{proxied}{more_listeners}
# Clients of the second listener are sent to the port of a proxy, so that nothing of theirs passes it by.
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},PROXIED://127.0.0.1:{front}{more_listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT,\
TLS:SSL,MTLS:SSL
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# A missing topic must look missing, and a test of a dead member must not wait the usual six seconds.
auto.create.topics.enable=false
group.min.session.timeout.ms=1000
# After SIGKILL the node comes back while its own old session still counts as alive; shorter than the default 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A producer that dies inside a transaction holds up its readers until this round finds it; default ten seconds.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# The default of 128 MiB is a quarter of our heap.
log.cleaner.dedupe.buffer.size=16777216
"""
_SASL = """\
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
# Without a validator of its own the broker takes unsecured tokens: any subject, signed by nobody.
listener.name.sasl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule \
required unsecuredLoginStringClaim_sub="broker";
"""
_TLS = """\
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={keystore}
listener.name.mtls.ssl.keystore.type=PEM
listener.name.mtls.ssl.keystore.location={keystore}
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location={truststore}
listener.name.mtls.ssl.client.auth=required
"""
