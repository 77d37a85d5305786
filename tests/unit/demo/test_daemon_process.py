"""The daemon's process beside the demo: its figures before it answers, its log, its end, and the optional broker."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.demo.daemon_process import DaemonProcess, broker_address, require_confluent


def test_a_demo_that_breaks_down_leaves_no_daemon(tmp_path: Path) -> None:
    """An exception while the daemon runs kills its process."""

    def break_down() -> None:
        with DaemonProcess("127.0.0.1:1", tmp_path / "daemon.log") as daemon:
            started.append(daemon)
            assert daemon.is_running
            raise LookupError

    started: list[DaemonProcess] = []
    with pytest.raises(LookupError):
        break_down()
    assert not started[0].is_running


def test_figures_of_a_daemon_that_does_not_answer_yet_are_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the daemon answers it is not ready and its counters are 0; later the series of a counter are added."""
    daemon = DaemonProcess("127.0.0.1:1", tmp_path / "daemon.log")
    assert not daemon.ready()
    assert daemon.metric("logwarden_windows_total") == 0.0
    page = 'lines_total{topic="a"} 2.0\nlines_total{topic="b"} 3.0\nlines_total_created 9.0\nplain 7\n'
    monkeypatch.setattr(daemon, "_get", lambda path: page)
    assert daemon.ready()
    assert daemon.metric("lines_total") == 5.0
    assert daemon.metric("plain") == 7.0


def test_the_last_line_of_the_log_is_quoted(tmp_path: Path) -> None:
    """The reason of an end is the newest line of the log; an empty log is named as such."""
    log = tmp_path / "daemon.log"
    daemon = DaemonProcess("127.0.0.1:1", log)
    log.write_text("\n")
    assert daemon.last_line() == "its log is empty"
    log.write_text("first\nport in use\n")
    assert daemon.last_line() == "port in use"


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client of the embedded broker the demo names the extra to install."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match="is not installed") as caught:
        require_confluent()
    assert caught.value.hint is not None
    assert "logwarden[demo]" in caught.value.hint


def test_the_address_lists_every_broker() -> None:
    """The daemon gets the address of each broker inside the client."""
    brokers = {1: SimpleNamespace(host="127.0.0.1", port=4001), 2: SimpleNamespace(host="127.0.0.1", port=4002)}
    producer = SimpleNamespace(list_topics=lambda timeout: SimpleNamespace(brokers=brokers))
    assert broker_address(producer) == "127.0.0.1:4001,127.0.0.1:4002"
