"""Recognises a topic that was deleted and created again: its name stays, its identity does not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Incarnations:
    """The identity of each topic when its partitions were assigned, compared with later ones."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._replaced: set[str] = set()
        self._past: set[str] = set()
        """Identities that were replaced. A broker whose metadata lag behind may still report them."""

    def note(self, topics: Collection[str], identities: Mapping[str, str]) -> None:
        """Takes the identities with which reading begins; a topic without one is not watched."""
        for topic in topics:
            self._replaced.discard(topic)
            self._known[topic] = identities.get(topic, "")

    def replaced(self, identities: Mapping[str, str]) -> set[str]:
        """Returns the topics that are other ones now, also those found earlier, until they are noted again.

        A topic that is missing now may come back as it was: it is not another one.
        """
        for topic, known in self._known.items():
            found = identities.get(topic, known)
            if known and found != known and found not in self._past:
                self._replaced.add(topic)
                self._past.add(known)
        return set(self._replaced)

    def clear(self) -> None:
        """Drops all of it, as the partitions are revoked."""
        self._known.clear()
        self._replaced.clear()
