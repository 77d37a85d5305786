"""The configuration files of a Kafka node, as templates, and the JVM's options. Knows neither processes nor clients."""

# Segments, retention, snapshots and time-outs are cut down so that some minutes see many of each. Thread counts fit a
# load of a few requests per second. Clients log in (SASL), nodes among themselves do not: it saves their start-up.
NODE = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://127.0.0.1:{client},PEER://127.0.0.1:{peer},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{client},PEER://127.0.0.1:{peer}
inter.broker.listener.name=PEER
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.client.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
log.dirs={data}

num.network.threads=1
num.io.threads=2
replica.fetch.wait.max.ms=1000
background.threads=2
num.recovery.threads.per.data.dir=1
group.coordinator.threads=1
num.partitions=3
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=3
offsets.topic.replication.factor=3
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
auto.create.topics.enable=false

log.roll.ms=20000
log.retention.ms=30000
log.retention.check.interval.ms=10000
log.initial.task.delay.ms=5000
log.segment.delete.delay.ms=5000
log.index.size.max.bytes=65536
log.cleaner.backoff.ms=15000
log.cleaner.min.cleanable.ratio=0.4
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.io.buffer.size=65536
metadata.log.max.snapshot.interval.ms=30000
metadata.max.idle.interval.ms=1000
metadata.log.segment.ms=60000
message.max.bytes=262144

broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=7000
replica.lag.time.max.ms=7000
replica.socket.timeout.ms=7000
controller.quorum.fetch.timeout.ms=4000
controller.quorum.request.timeout.ms=4000
controller.socket.timeout.ms=7000
socket.connection.setup.timeout.ms=4000
request.timeout.ms=7000
controlled.shutdown.enable=true
leader.imbalance.check.interval.seconds=8
leader.imbalance.per.broker.percentage=0
group.initial.rebalance.delay.ms=500
"""

# The list of all settings is left out: 350 lines at every start, the same each time, would be most of a recording.
# Cleaning and changes of state, which Kafka's own configuration writes to files apart, are left out likewise.
LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="STDOUT"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="STDOUT"/></Root>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Logger name="org.apache.kafka.storage.internals.log.Cleaner" level="WARN"/>
    <Logger name="org.apache.kafka.storage.internals.log.LogCleaner" level="WARN"/>
    <Logger name="state.change.logger" level="WARN"/>
  </Loggers>
</Configuration>
"""

# Starting is most of what a JVM costs here, and it is over before a better compiler would pay. The performance file
# and the crash report would be written outside the run's directory.
JAVA = (
    "java",
    "-Xmx192m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
)
