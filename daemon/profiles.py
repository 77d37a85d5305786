"""Builds what the settings define for each input topic: its decoder, of the format pinned to it, and its profile.

Builds the bounds for the joining of lines and for the state of services as well, and the rules of incidents.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

from logwarden.daemon.decoding.decoder import Decoder
from logwarden.daemon.decoding.schemas import Schemas
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.feedback.file import read_file
from logwarden.daemon.incidents.alert import kind_name
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.partitions import ProfileOf, TopicProfile
from logwarden.daemon.records import InputFormat
from logwarden.daemon.settings.fields import named_masks
from logwarden.daemon.settings.formats import format_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.feedback import NO_FEEDBACK, FeedbackBook, Tails
from logwarden.model.incident_state import FoldRules
from logwarden.model.mask_own import compile_masks
from logwarden.model.masking import canonical, line_hash, mask_blob


def decoder_of(settings: Settings, *, format: InputFormat | None = None, schemas: Schemas | None = None) -> Decoder:
    """Returns the decoder that the settings describe. `format` replaces the configured one."""
    return Decoder(
        format=format or settings.input.format,
        text_paths=settings.input.text_paths,
        service_paths=settings.input.service_paths,
        time_paths=settings.input.time_paths,
        max_line_chars=settings.limits.max_line_chars,
        encoding=settings.input.encoding,
        zone=ZoneInfo(settings.input.timezone),
        schemas=schemas,
    )


def join_limits_of(settings: Settings) -> JoinLimits | None:
    """Returns the bounds within which lines are joined to events. Returns None if none are joined."""
    join = settings.join
    if not join.enabled:
        return None
    return JoinLimits(
        max_lines=join.max_lines,
        max_bytes=join.max_bytes,
        timeout_ms=join.timeout_ms,
        max_line_chars=settings.limits.max_line_chars,
        start_pattern=join.start_pattern,
    )


def cut_limits_of(settings: Settings) -> CutLimits | None:
    """Returns when the state of services is written. Returns None if it is not kept."""
    if settings.kafka.state_topic is None:
        return None
    return CutLimits(group=settings.kafka.group_id, max_records=max(1, settings.kafka.max_context_records // 4))


def fold_rules(settings: Settings) -> FoldRules:
    """Returns the rules by which alerts become incidents."""
    given = settings.incidents
    return FoldRules(
        gap_ms=round(1000 * given.gap_s), join_ms=round(1000 * given.join_s), evidence=given.least_evidence
    )


def system_of(settings: Settings) -> re.Pattern[str] | None:
    """Returns the expression for the system in a service's name. Returns None if all services are one system."""
    pattern = settings.incidents.system_pattern
    return None if pattern is None else re.compile(pattern)


def kind_of(settings: Settings) -> Callable[[str], str]:
    """Returns the function from a line's text to the name of its kind, by the masks in use."""
    masks = compile_masks(named_masks(settings.input.masks))

    def kind(text: str) -> str:
        line = text.encode("utf-8", "replace").replace(b"\n", b" ")
        return kind_name(line_hash(canonical(mask_blob(line + b"\n")[0], masks)))

    return kind


def feedback_of_file(settings: Settings) -> FeedbackBook:
    """Returns the feedback of the configured file alone. Raises ConfigurationError if it cannot be used."""
    file = settings.feedback.file
    if file is None:
        return NO_FEEDBACK
    try:
        entries = read_file(file.read_bytes(), kind_of(settings))
    except ValueError as error:
        raise ConfigurationError(f"the feedback file {file} cannot be used: {error}", hint="correct it") from None
    return FeedbackBook(entries, system=system_of(settings), tails=tails_of(settings))


def tails_of(settings: Settings) -> Tails:
    """Returns how long a maintenance lasts on after its end."""
    return Tails(round(1000 * settings.feedback.tail_s), round(1000 * settings.feedback.settling_s))


def profiles_of(settings: Settings, schemas: Schemas | None = None) -> ProfileOf:
    """Returns the function from a topic to its profile. Topics of one format share one profile and one decoder.

    `schemas`: those of a registry; None without one.
    """
    profiles: dict[InputFormat, TopicProfile] = {}

    def profile_of(topic: str) -> TopicProfile:
        format = format_of(topic, settings.input.formats, settings.input.format)
        if format not in profiles:
            profiles[format] = TopicProfile(
                decoder=decoder_of(settings, format=format, schemas=schemas),
                alerts_topic=settings.kafka.alerts_topic,
                dead_letter_topic=settings.kafka.dead_letter_topic,
                max_alert_line_chars=settings.alerts.max_line_chars,
                max_original_chars=settings.alerts.max_original_chars,
            )
        return profiles[format]

    return profile_of
