"""Reminds a destination of its open incidents, beside no other notice about them.

A reminder that arrived behind an end would open the incident again. So nothing is sent about an incident while it is
reminded of, and no reminder while something is.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from logwarden.daemon.bridges.destination import Destination
from logwarden.daemon.bridges.lanes import IncidentLane, IncidentLanes
from logwarden.daemon.errors import DestinationUnavailable, NoticeRefused

log = structlog.get_logger(__name__)


class Reminders:
    """The reminders of one destination. Belongs to the event loop of its courier."""

    def __init__(self, destination: Destination, lanes: IncidentLanes) -> None:
        self._destination = destination
        self._lanes = lanes

    def take(self) -> Sequence[IncidentLane]:
        """Returns the lanes of the incidents to remind of, and keeps them from sending anything else until `send`."""
        due = [lane for lane in self._lanes if lane.is_idle and lane.announced is not None]
        for lane in due:
            lane.is_busy = True
        return due

    async def send(self, lanes: Sequence[IncidentLane]) -> None:
        """Sends the reminders, once: the next ones come soon. The lanes may send other notices afterwards."""
        try:
            await self._destination.remind([lane.announced for lane in lanes if lane.announced is not None])
        except (DestinationUnavailable, NoticeRefused) as error:
            name = self._destination.name
            log.warning("reminder_failed", destination=name, incidents=len(lanes), error=str(error), hint=error.hint)
        except Exception:  # a bug in a reminder must not end the deliveries
            log.exception("bridge_bug", destination=self._destination.name)
        finally:
            for lane in lanes:
                lane.is_busy = False
