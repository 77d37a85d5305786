"""`GET /api/v1/services`: the services of the whole group, whichever member answers; of one with `scope=member`.

A page is made of a page of each member behind the same place in the order of services, so that no member sends more
than its part of it. Requests go one step far: a member sends others `scope=member`, which they answer from memory.

    members   a: 1 4 9 …   b: 2 3 5 …   c: 7 and no more      pages of three each
    end       5, because b has more behind it, which could lie before 7 and 9
    page      1 2 3 4 5, and the next one begins behind 5

However many people look, one of them asks: the others get the same answer, which serves for a second.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from logwarden.daemon.ports import Worker
from logwarden.daemon.standing import STATES
from logwarden.daemon.web.api import Endpoint, MemberFacts, PartitionFacts
from logwarden.daemon.web.api_services import LISTING, OwnServices
from logwarden.daemon.web.coalescing import Coalesced
from logwarden.daemon.web.members import GroupMembers, Peer
from logwarden.daemon.web.peer_client import PeerClient, PeerUnavailable
from logwarden.daemon.web.questions import Question, Refusal, Selection, encoded_cursor
from logwarden.daemon.web.service_answers import Key, MemberSummary, ServiceEntry, ServicesAnswer, StateCounts

FULL_PAGE = 100
"""Services that are requested of each member at least, if the request wants as many: small pages are full ones."""
FRESH_S = 1.0
"""Seconds for which an answer serves others who ask the same."""
MAX_ANSWERS = 16
"""Answers that are kept meanwhile: one of a thousand services with their histories takes a megabyte."""
NAMED = 3
"""Members that a note names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """What one member contributes: its answer, or why there is none."""

    peer: Peer
    answer: ServicesAnswer | None
    obstacle: str = ""


class ServicesEndpoint:
    """Answers the endpoint."""

    def __init__(self, own: OwnServices, members: GroupMembers, client: PeerClient, worker: Worker) -> None:
        """`worker`: where answers are merged."""
        self._own = own
        self._members = members
        self._client = client
        self._worker = worker
        self._answers: Coalesced[ServicesAnswer] = Coalesced(FRESH_S, MAX_ANSWERS)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        return Endpoint(
            method="GET",
            path="/services",
            summary="Services of the group, by name. With scope=member those of the member that is asked.",
            answer=ServicesAnswer,
            reply=self.reply,
            parameters=LISTING.parameters,
        )

    async def reply(self, question: Question) -> ServicesAnswer:
        """Returns a page of services. Raises Refusal."""
        key = tuple(sorted((name, tuple(sorted(values))) for name, values in question.values.items()))
        return await self._answers.get(key, lambda: self._page(question))

    async def _page(self, question: Question) -> ServicesAnswer:
        selection = self._own.selection(question)
        if "member" in selection.words["scope"]:
            return await self._own.page(selection)
        others = await self._members.others()
        asked = sum(peer.card is not None for peer in others.members)
        share = min(selection.limit, max(FULL_PAGE, -(-selection.limit // (1 + asked))))
        left_out = ("scope", "limit")
        query = [(name, value) for name, values in question.values.items() if name not in left_out for value in values]
        own, *parts = await asyncio.gather(
            self._own_page(dataclasses.replace(selection, limit=share)),
            *(self._part(peer, query, selection.after, share) for peer in others.members),
        )
        if isinstance(own, Refusal):
            raise own
        return await self._worker.run(merged, own, parts, selection, others.note)

    async def _own_page(self, selection: Selection[Key]) -> ServicesAnswer | Refusal:
        try:
            return await self._own.page(selection)
        except Refusal as refusal:  # returned, so that no request to another member is left behind
            return refusal

    async def _part(self, peer: Peer, query: Sequence[tuple[str, str]], after: Key | None, most: int) -> Contribution:
        if peer.card is None:
            return Contribution(peer=peer, answer=None, obstacle=peer.obstacle)
        try:
            return Contribution(peer=peer, answer=await self._client.services(peer.card, query, after, most))
        except PeerUnavailable as error:
            return Contribution(peer=peer, answer=None, obstacle=str(error))


def merged(
    own: ServicesAnswer, parts: Sequence[Contribution], selection: Selection[Key], members_note: str = ""
) -> ServicesAnswer:
    """Returns the page of a group. Pure."""
    answers = [own, *(part.answer for part in parts if part.answer is not None)]
    entries: dict[Key, ServiceEntry] = {}
    for entry in (entry for answer in answers for entry in answer.services):
        known = entries.get(entry.key)  # in a rebalance two members may have a partition for a moment
        if known is None or known.lines < entry.lines:
            entries[entry.key] = entry
    ends = [answer.services[-1].key for answer in answers if answer.next is not None]
    keys = sorted(key for key in entries if not ends or key <= min(ends))
    page = keys[: selection.limit]
    times = [answer.as_of for answer in answers if answer.as_of is not None]
    return ServicesAnswer(
        member=own.member,
        as_of=min(times, default=None),
        states=StateCounts(**{state.word: sum(getattr(a.states, state.word) for a in answers) for state in STATES}),
        lines_per_minute=sum(answer.lines_per_minute for answer in answers),
        total=sum(answer.total for answer in answers),
        services=tuple(entries[key] for key in page),
        next=encoded_cursor(page[-1]) if ends or len(page) < len(keys) else None,
        members=(_summary(own.member, own), *(_described(part) for part in parts)),
        note=" ".join(filter(None, (_note(parts), members_note))),
    )


def _described(part: Contribution) -> MemberSummary:
    if part.answer is not None:
        return _summary(part.answer.member, part.answer)
    partitions = tuple(PartitionFacts(topic=each.topic, partition=each.partition) for each in part.peer.partitions)
    return MemberSummary(name=part.peer.name, partitions=partitions, missing=part.obstacle)


def _summary(member: MemberFacts, answer: ServicesAnswer) -> MemberSummary:
    return MemberSummary(
        name=member.name,
        partitions=member.partitions,
        version=member.version,
        as_of=answer.as_of,
        states=answer.states,
        lines_per_minute=answer.lines_per_minute,
    )


def _note(parts: Sequence[Contribution]) -> str:
    """Returns the sentences about members whose services are missing. Returns nothing where none is."""
    missing = [part for part in parts if part.answer is None]
    if not missing:
        return ""
    named = "; ".join(f"{part.peer.name}: {part.obstacle}" for part in missing[:NAMED])
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    count = 1 + len(parts)
    return f"{count - len(missing)} of {count} members answered; services of the others are missing. {named}{more}."
