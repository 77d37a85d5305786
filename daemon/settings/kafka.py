"""Defines the settings of the Kafka client: names, defaults, limits, meanings.

Imports no Kafka client. The constructor is for tests: `KafkaSettings()` has every default.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FilePath, SecretStr

from logwarden.daemon.settings.addresses import Brokers, TokenUrl
from logwarden.daemon.settings.fields import Maybe, Name, Names, SettingsGroup
from logwarden.daemon.settings.secret_files import SecretFile

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MOST_CHARS = 249
"""Kafka's limit of a topic's name."""


def checked_topics(topics: tuple[str, ...]) -> tuple[str, ...]:
    """Returns names and patterns of topics. Raises ValueError for a text that is neither."""
    for topic in topics:
        if topic.startswith("^"):
            try:
                re.compile(f"(?:{topic})")
            except re.error as error:
                raise ValueError(f"the pattern {topic!r} is no regular expression: {error}") from None
        elif not _NAME.fullmatch(topic) or len(topic) > _MOST_CHARS:
            raise ValueError(
                f"{topic!r} is not the name of a topic: names have at most {_MOST_CHARS} letters, digits, dots, dashes "
                "and underscores, and a pattern begins with ^"
            )
    return topics


class KafkaSettings(SettingsGroup):
    """Brokers, topics, group, credentials and time limits of Kafka."""

    bootstrap_servers: Brokers = "localhost:9092"
    """Brokers that the daemon contacts first, as `host:port,host:port`. An IPv6 address is in brackets."""
    input_topics: Annotated[Names, AfterValidator(checked_topics)] = ("logs",)
    """Topics from which the daemon reads log lines. An entry that begins with ^ is a regular expression for the begin
    of names, such as `^logs-`; a comma in it needs the JSON form. The daemon never creates these topics."""
    alerts_topic: Name = "logwarden.alerts"
    """Topic to which the daemon publishes alerts."""
    incidents_topic: Maybe[Name] = "logwarden.incidents"
    """Compacted topic to which one member of the group publishes incidents, folded from the alerts topic. The members
    share the group with the suffix `-incidents` for it. None: no incidents."""
    feedback_topic: Maybe[Name] = "logwarden.feedback"
    """Compacted topic of what people say about alerts, and of announced maintenance, which every replica follows. The
    daemon does not create it. None: feedback comes from the file only."""
    dead_letter_topic: Name = "logwarden.dead-letters"
    """Topic to which the daemon publishes records without a readable log line."""
    state_topic: Maybe[Name] = "logwarden.state"
    """Compacted topic in which the daemon keeps what services have learned, so that they know it after a restart.
    Groups may share it. None: it is not kept, and every restart learns again."""
    create_state_topic: bool = True
    """True: the daemon creates the state topic where it is missing, compacted, with as many partitions as the input
    topic with the most has. It creates no other topic."""
    group_id: Name = "logwarden"
    """Consumer group. All replicas use the same one, and the group divides the partitions among them."""
    group_instance_id: Maybe[str] = None
    """Name of this member for static membership, such as the pod's name: it must survive a restart. None: dynamic
    membership."""
    client_id: Name = "logwarden"
    """Name of the daemon in the broker's logs, metrics and quotas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Encryption and authentication of connections."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    """Method by which the daemon proves its identity: by a password, or by a token (`OAUTHBEARER`). Only the SASL
    protocols use it."""
    sasl_username: Maybe[str] = None
    """User name for SASL. None: no password."""
    sasl_password: Maybe[SecretStr] = None
    """Password for SASL. None: no password, or the one in the file."""
    sasl_password_file: Maybe[SecretFile] = None
    """File with the password for SASL, in place of the password itself. None: no file."""
    oauth_token_file: Maybe[SecretFile] = None
    """File with the token for `OAUTHBEARER`, read again for each connection. None: no file."""
    oauth_token_url: Maybe[TokenUrl] = None
    """Token endpoint for `OAUTHBEARER`, from which the daemon gets its tokens (OAuth 2 client credentials). None: no
    endpoint."""
    oauth_client_id: Maybe[Name] = None
    """Name of the daemon at the token endpoint. None: no endpoint."""
    oauth_client_secret: Maybe[SecretStr] = None
    """Secret of the daemon at the token endpoint. None: no endpoint, or the one in the file."""
    oauth_client_secret_file: Maybe[SecretFile] = None
    """File with the secret for the token endpoint, read again for each request. None: no file."""
    oauth_scope: Maybe[Name] = None
    """Scope that the daemon requests at the token endpoint. None: the endpoint's own choice."""
    ssl_cafile: Maybe[FilePath] = None
    """PEM file of the certificate authorities to trust, read again when it changes. None: those of the operating
    system."""
    ssl_certfile: Maybe[FilePath] = None
    """PEM file of the daemon's client certificate, read again when it changes. None: no client certificate."""
    ssl_keyfile: Maybe[FilePath] = None
    """PEM file of the client certificate's private key, read again when it changes. None: the certificate's file
    contains the key."""
    ssl_key_password: Maybe[SecretStr] = None
    """Passphrase of an encrypted private key. None: the key is not encrypted, or the passphrase is in the file."""
    ssl_key_password_file: Maybe[SecretFile] = None
    """File with the passphrase of an encrypted private key. None: no file."""
    session_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 45_000
    """Milliseconds without a heartbeat after which the group removes a member."""
    rebalance_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 60_000
    """Milliseconds that the group waits for a member at a rebalance. The daemon finishes and commits within half of
    them."""
    request_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 40_000
    """Milliseconds that the daemon waits for the broker's response to one request."""
    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 4_096
    """Most records that the daemon takes from the consumer at a time."""
    unreadable_batches: Literal["stop", "skip"] = "stop"
    """What to do at a batch that cannot be decoded: `stop` the partition until the batch is whole or someone acts, or
    `skip` the batch, whose lines are then lost. The other partitions continue in both cases."""
    max_batch_bytes: Annotated[int, Field(ge=1_048_576, le=2_147_483_647)] = 268_435_456
    """Most bytes to which the daemon decompresses one batch. A larger batch is treated like one that cannot be
    decoded."""
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Milliseconds that the broker may delay its response to a fetch while no record is new."""
    commit_interval_ms: Annotated[int, Field(ge=10, le=600_000)] = 1_000
    """Milliseconds between commits, and so about the work that the next owner repeats after a crash."""
    max_context_records: Annotated[int, Field(ge=0)] = 100_000
    """Most records per partition that are read again after an assignment to rebuild the windows."""
    first_start: Literal["latest", "earliest"] = "latest"
    """Where a group begins that has committed nothing yet. `latest`: the daemon learns from the newest records of the
    topic, and judges the lines that come from then on. `earliest`: it judges all records of the topic. Partitions and
    topics that are added later are always judged from their oldest record on."""
    learn_records: Annotated[int, Field(ge=0)] = 50_000
    """Most records per partition, the newest ones, from which the daemon learns before a first start at `latest`. It
    uses at most as many as `LOGWARDEN_KAFKA__MAX_CONTEXT_RECORDS`."""
    learn_seconds: Annotated[float, Field(ge=0, le=3_600)] = 60.0
    """Seconds that learning before a first start may take. New lines of a partition are judged only after it."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """Compression of the alerts and dead letters that the daemon publishes. Alerts of one service share most lines."""
    start_timeout_s: Maybe[Annotated[float, Field(ge=0)]] = None
    """Seconds for which the daemon retries at the start while no broker answers. None: no limit."""
