"""Pages of several members as pages of their group."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.web.group_services import Contribution, merged
from logwarden.daemon.web.members import Peer
from logwarden.daemon.web.questions import Selection
from logwarden.daemon.web.service_answers import Key
from tests.unit.daemon.web.crew import answer_of

KEYS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), unique=True, max_size=20)


@given(st.lists(KEYS, min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_pages_of_members_make_pages_of_the_group(parts: list[Any], limit: int, share: int) -> None:
    """However services are divided, and however large each member's part is, the pages have all of them in order."""
    everything = sorted({key for part in parts for key in part})
    found: list[Key] = []
    after: Key | None = None
    for _ in range(len(everything) + 1):
        answers = []
        for part in parts:
            left = [key for key in sorted(part) if after is None or (key[0], "logs", key[1]) > after]
            answers.append(answer_of("x", left[:share], more="more" if len(left) > share else None))
        peer = Peer(name="p", partitions=(), card=None)
        selection: Selection[Key] = Selection(chosen=None, words={}, since_ms=None, after=after, limit=limit)
        page = merged(answers[0], [Contribution(peer=peer, answer=answer) for answer in answers[1:]], selection)
        assert len(page.services) <= limit
        found += [entry.key for entry in page.services]
        if page.next is None:
            break
        after = found[-1]
    assert found == [(name, "logs", partition) for name, partition in everything]


def test_a_partition_in_two_hands_counts_its_services_once() -> None:
    """In a rebalance the member that counts on is the right one."""
    peer = Peer(name="p", partitions=(), card=None)
    selection: Selection[Key] = Selection(chosen=None, words={}, since_ms=None, after=None, limit=9)
    for lines in (5, 7):
        own, other = answer_of("x", [("a", 1)], lines=6), answer_of("y", [("a", 1)], lines=lines)
        page = merged(own, [Contribution(peer=peer, answer=other)], selection)
        assert [entry.lines for entry in page.services] == [max(6, lines)]
