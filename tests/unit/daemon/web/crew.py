"""Members of one group that ask each other over real sockets, and traps among them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import numpy as np
from aiohttp import web

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.records import Partition
from logwarden.daemon.roster import GroupMember, MemberCard
from logwarden.daemon.settings.groups import HttpSettings
from logwarden.daemon.standing import ServiceTable
from logwarden.daemon.web.api import MemberFacts, PartitionFacts
from logwarden.daemon.web.api_incidents import IncidentsEndpoint
from logwarden.daemon.web.api_schema import api_routes
from logwarden.daemon.web.api_services import OwnServices, ServiceSource
from logwarden.daemon.web.group_services import ServicesEndpoint
from logwarden.daemon.web.member_proof import is_proof
from logwarden.daemon.web.members import GroupMembers
from logwarden.daemon.web.peer_client import PeerClient
from logwarden.daemon.web.questions import Selection
from logwarden.daemon.web.server import HttpServer
from logwarden.daemon.web.service_answers import Key, ServiceEntry, ServicesAnswer, StateCounts
from tests.fakes import InlineWorker
from tests.unit.daemon.web.serving import Group, Served

HOST = "worker"


def table_of(names: Sequence[str], partition: int) -> ServiceTable:
    count = len(names)
    return ServiceTable(
        at_ms=SystemClock().now_ms(),
        partitions=(Partition("logs", partition),),
        partition=np.zeros(count, np.int64),
        names=np.array(names, object),
        states=np.array([place % 3 for place in range(count)], np.int8),
        progress=np.ones(count, np.float32),
        lines=np.full(count, 10),
        known_lines=np.full(count, 3),
        per_minute=np.full(count, 2),
        seen_ms=np.full(count, SystemClock().now_ms()),
    )


def answer_of(
    id: str, entries: Sequence[tuple[str, int]], *, lines: int = 1, more: str | None = None
) -> ServicesAnswer:
    return ServicesAnswer(
        member=MemberFacts(id=id, name=id, group="g", version="1", partitions=()),
        as_of="2026-11-23T10:00:00.000Z",
        states=StateCounts(learning=0, known=len(entries), noisy=0),
        lines_per_minute=0,
        total=len(entries),
        services=tuple(
            ServiceEntry(
                name=name,
                topic="logs",
                partition=partition,
                state="known",
                progress=1.0,
                lines=lines,
                known_lines=1,
                lines_per_minute=0,
                last_seen=None,
                last_alert=None,
            )
            for name, partition in entries
        ),
        next=more,
    )


async def ready(_: web.Request) -> web.Response:
    return web.json_response({"ready": True, "reasons": []})


class Crew:
    """Members of one group, each with a server, that know each other as the coordinator describes them."""

    def __init__(self, settings: HttpSettings, host: str = HOST) -> None:
        self.host = host
        self.settings = settings
        self.group = Group()
        self.members: list[Served] = []
        self.requests: list[web.Request] = []
        """Requests to the traps."""
        self.pages: list[str] = []
        """Ids of members, one for each page that a member made of its own services."""
        self._stack = AsyncExitStack()

    async def add(self, *names: str, id: str = "", settings: HttpSettings | None = None) -> Served:
        """Adds a member with these services in a partition of its own."""
        number, chosen = len(self.group.members), settings or self.settings
        card = MemberCard(id=id or f"id{number}", name=f"{self.host}/{number}", address=None)

        def facts() -> MemberFacts:
            partitions = (PartitionFacts(topic="logs", partition=number),)
            return MemberFacts(id=card.id, name=card.name, group="logwarden", version="1", partitions=partitions)

        async def table() -> ServiceTable:
            return table_of(names, number)

        pages = self.pages

        class Noted(OwnServices):
            async def page(self, selection: Selection[Key]) -> ServicesAnswer:
                pages.append(card.id)
                return await super().page(selection)

        own = Noted(facts, SystemClock(), InlineWorker())
        own.source = ServiceSource(table=table, last_alert=lambda *_: None)
        members = GroupMembers(self.group, lambda: card, SystemClock())
        client = PeerClient(chosen, SystemClock(), InlineWorker())
        endpoint = ServicesEndpoint(own, members, client, InlineWorker()).endpoint

        def is_member(header: str, token: str, path: str) -> bool:
            return is_proof(header, token, str(card.address), path, SystemClock().now_ms() // 1000)

        endpoints = [endpoint, IncidentsEndpoint(facts, SystemClock(), None).endpoint]
        routes = [web.get("/readyz", ready), *api_routes(endpoints, chosen, is_member)]
        server = HttpServer(chosen, routes)
        await server.start()
        self._stack.push_async_callback(server.stop)
        card = MemberCard(id=card.id, name=card.name, address=f"http://127.0.0.1:{server.port}")
        self.enter(card)
        served = Served(url=str(card.address))
        self.members.append(served)
        return served

    async def trap(
        self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]], path: str = "", **card: Any
    ) -> str:
        """Adds something else to the group, that answers every request in its own way. Returns its address."""

        async def noted(request: web.Request) -> web.StreamResponse:
            self.requests.append(request)
            return await answer(request)

        server = HttpServer(HttpSettings(port=0), [web.get("/{path:.*}", noted)])
        await server.start()
        self._stack.push_async_callback(server.stop)
        address = f"http://127.0.0.1:{server.port}"
        self.enter(MemberCard(**{"id": "trap", "name": f"{self.host}/trap", "address": address} | card))
        return address

    def enter(self, card: MemberCard) -> None:
        number = len(self.group.members)
        partitions = (Partition("logs", number),)
        member = GroupMember(member_id=f"m{number}", host="127.0.0.1", partitions=partitions, card=card)
        self.group.members = (*self.group.members, member)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
