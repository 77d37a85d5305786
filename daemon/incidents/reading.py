"""Fills the shelf of incidents from the incidents topic, and begins again where that fails. A task beside the pipeline.

Whatever fails here stops no alert and no incident: the shelf has a note, and the HTTP API shows it.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, cast

import structlog

from logwarden.daemon.errors import LogwardenError
from logwarden.daemon.health import sentence_of
from logwarden.daemon.incidents.shelf import KEPT_MS, IncidentShelf
from logwarden.daemon.ports import Clock, TopicFollower

log = structlog.get_logger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0


async def keep_filled(shelf: IncidentShelf, topic: TopicFollower, clock: Clock) -> None:
    """Reads until it is cancelled."""
    retry_s = FIRST_RETRY_S
    while True:
        try:
            # An incident lasts some hours at most, so what is open was published since.
            async with aclosing(cast(Any, topic.follow(clock.now_ms() - KEPT_MS))) as pieces:
                async for piece in pieces:
                    for entry in piece.entries:
                        shelf.put(*entry)
                    if piece.is_caught_up:
                        shelf.note, retry_s = "", FIRST_RETRY_S
        except LogwardenError as error:
            shelf.note = f"The incidents are incomplete. {sentence_of(str(error))} {sentence_of(error.hint)}".strip()
        except Exception as error:  # a bug here must not end the daemon, which publishes alerts without this view
            log.exception("incident_view_bug")
            shelf.note = f"The incidents are incomplete. Reading them met a bug of logwarden ({type(error).__name__})."
        await clock.sleep(retry_s)
        retry_s = min(2 * retry_s, LAST_RETRY_S)
