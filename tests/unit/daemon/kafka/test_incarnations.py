"""Topics that are other ones under their old name."""

from __future__ import annotations

from logwarden.daemon.kafka.incarnations import Incarnations


def watched(**identities: str) -> Incarnations:
    incarnations = Incarnations()
    incarnations.note(identities, identities)
    return incarnations


def test_another_identity_is_another_topic_until_it_is_noted() -> None:
    """Found once, it stays found: whoever asks next, commit or fetch, must know it."""
    incarnations = watched(logs="1", other="2")
    assert incarnations.replaced({"logs": "1", "other": "2"}) == set()
    assert incarnations.replaced({"logs": "9", "other": "2"}) == {"logs"}
    assert incarnations.replaced({}) == {"logs"}
    incarnations.note(["logs"], {"logs": "9"})
    assert incarnations.replaced({"logs": "9", "other": "2"}) == set()
    assert incarnations.replaced({"other": "3"}) == {"other"}


def test_a_missing_topic_is_not_another_one() -> None:
    """Deleted, or overlooked by one broker: what comes back decides."""
    assert watched(logs="1").replaced({}) == set()


def test_a_topic_without_identity_is_not_watched() -> None:
    """Old brokers know none, and a cluster that learns them in an upgrade keeps its topics."""
    incarnations = watched(logs="")
    incarnations.note(["unknown"], {})
    assert incarnations.replaced({"logs": "1", "unknown": "2"}) == set()


def test_a_broker_that_lags_behind_does_not_bring_the_old_topic_back() -> None:
    """Its metadata name the deleted one for a moment; to believe that would read the new topic twice."""
    incarnations = watched(logs="1")
    assert incarnations.replaced({"logs": "2"}) == {"logs"}
    incarnations.note(["logs"], {"logs": "2"})
    assert incarnations.replaced({"logs": "1"}) == set()
    assert incarnations.replaced({"logs": "3"}) == {"logs"}


def test_a_revoke_forgets() -> None:
    """The next assignment notes its own."""
    incarnations = watched(logs="1")
    incarnations.replaced({"logs": "2"})
    incarnations.clear()
    assert incarnations.replaced({"logs": "2"}) == set()
