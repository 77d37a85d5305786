"""`logwarden mcp` as a client starts it: a process on standard input and output, or one that listens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from logwarden.daemon.commands.mcp import address_of, hosts_of
from logwarden.daemon.errors import ConfigurationError
from logwarden.model.version import __version__
from tests.unit.daemon.agents.test_serving import text_of
from tests.unit.daemon.web.serving import Served, settings_of, with_one_incident

COMMAND = [sys.executable, "-m", "logwarden", "mcp"]


def environment(**settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
    return clean | {f"LOGWARDEN_{name}": value for name, value in settings.items()}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Yields a daemon with one incident."""
    async with with_one_incident() as found:
        yield found


def on_stdio(*arguments: str, **settings: str) -> StdioServerParameters:
    return StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *arguments], env=environment(**settings))


@contextlib.contextmanager
def on_http(*arguments: str, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Starts a server on a free port, and yields its URL and process."""
    command = [*COMMAND, *arguments, "--http", "0"]
    variables = environment(LOG__FORMAT="json", **settings)
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            listens = json.loads(process.stderr.readline())
            assert listens["event"] == "mcp_listens"
            yield listens["url"], process
        finally:
            process.kill()


def refusal(*arguments: str, **settings: str) -> tuple[int, str]:
    ended = subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


async def test_a_client_starts_it_and_asks(served: Served, tmp_path: Path) -> None:
    """A client that knows the command and the daemon's address reads incidents; the process writes nothing else."""
    notes = tmp_path / "stderr"
    with notes.open("w") as errors:
        async with Client(stdio_client(on_stdio("--url", served.url), errlog=errors)) as client:
            assert client.server_info is not None
            assert (client.server_info.name, client.server_info.version) == ("logwarden", __version__)
            found = await client.call_tool("list_incidents", {"since": "3000d"})
    assert [incident["origin"] for incident in found.structured_content["incidents"]] == ["web"]
    assert notes.read_text() == ""


async def test_without_a_daemon_it_starts_and_explains() -> None:
    """A daemon that is down is a sentence in the answer, so that it may start later."""
    async with Client(stdio_client(on_stdio(HTTP__PORT="1"))) as client:
        found = await client.call_tool("list_incidents", {})
    assert found.is_error
    assert text_of(found).startswith("No daemon answers at http://127.0.0.1:1: Connection refused.")


def test_it_ends_with_its_input() -> None:
    """A client that goes away closes the input, which ends the process."""
    ended = subprocess.run(
        COMMAND, env=environment(), input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_it_waits_for_input(number: signal.Signals) -> None:
    """A person who started it by hand ends it with Ctrl-C, although no line comes."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    with subprocess.Popen(
        COMMAND, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
            print(json.dumps(request), file=process.stdin, flush=True)
            assert process.stdout.readline()
            process.send_signal(number)
            assert process.wait(20) == -number
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_listens_until_a_signal(served: Served, number: signal.Signals) -> None:
    """Over HTTP the address is logged once it serves, and a signal ends it."""
    with on_http("--url", served.url) as (url, process):
        async with Client(url) as client:
            assert (await client.call_tool("list_incidents", {"since": "3000d"})).structured_content["total"] == 1
        process.send_signal(number)
        # 0: of a signal that this process ignores, as a job in the background of a shell ignores Ctrl-C.
        assert process.wait(20) in (0, -number, 128 + number)
        assert process.stderr is not None
        assert process.stderr.read() == ""


async def test_the_token_of_its_settings_is_needed(served: Served, tmp_path: Path) -> None:
    """With a token file, a client needs its content, and the daemon's own token is another one."""
    (tmp_path / "token").write_text("open sesame\n")
    with on_http("--url", served.url, MCP__TOKEN_FILE=str(tmp_path / "token")) as (url, _):
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={}) as answer:
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            async with session.post(url, json={}, headers={"Authorization": "Bearer open sesame"}) as answer:
                assert answer.status != 401


def test_an_address_that_is_open_to_others_needs_a_token_and_names() -> None:
    """Without a token it listens on loopback only, and at every address it must know its names."""
    assert refusal("--http", "0.0.0.0:0") == (
        2,
        "logwarden: 0.0.0.0 is reached from other machines, and no token is set, so that everyone there could read\n"
        "  set LOGWARDEN_MCP__TOKEN_FILE, or listen on 127.0.0.1\n",
    )
    settings = settings_of(MCP__TOKEN="x")
    with pytest.raises(ConfigurationError, match=re.escape("names by which clients reach 0.0.0.0 are not known")):
        hosts_of("0.0.0.0", settings)
    assert hosts_of("10.0.0.7", settings) == ["10.0.0.7"]
    named = settings_of(MCP__TOKEN="x", MCP__ALLOWED_HOSTS="logs.example.org")
    assert hosts_of("::", named) == ["logs.example.org"]
    assert hosts_of("localhost", named) == ["127.0.0.1", "localhost", "[::1]", "logs.example.org"]
    assert hosts_of("fe80::1", named) == ["[fe80::1]", "logs.example.org"]


def test_addresses_are_read() -> None:
    """A port alone is on loopback; what is no address is refused."""
    assert address_of("8090") == ("127.0.0.1", 8090)
    assert address_of("[::1]:0") == ("::1", 0)
    assert address_of("logs.example.org:80") == ("logs.example.org", 80)
    for text in ("", "host", "host:", "host:70000", "host:-1", "a:b:80", "[::1", "[x]:80"):
        with pytest.raises(ConfigurationError, match="no address to listen on"):
            address_of(text)


def test_an_address_in_use_is_a_sentence(served: Served) -> None:
    """The port of another program is refused with the way out."""
    port = served.url.rpartition(":")[2]
    code, message = refusal("--http", port)
    assert (code, message.splitlines()[0]) == (
        2,
        f"logwarden: listening on 127.0.0.1:{port} fails: Address already in use",
    )


def test_two_tokens_are_refused(tmp_path: Path) -> None:
    """A token comes from a variable or a file."""
    (tmp_path / "token").write_text("x")
    code, message = refusal(MCP__TOKEN="x", MCP__TOKEN_FILE=str(tmp_path / "token"))
    assert code == 2
    assert "LOGWARDEN_MCP__TOKEN and LOGWARDEN_MCP__TOKEN_FILE are both set; set one of them" in message


def test_without_the_sdk_it_names_what_to_install() -> None:
    """Where the extra is not installed, the command names it."""
    code = (
        "import sys; sys.argv = ['logwarden', 'mcp']\n"
        "from logwarden.daemon.commands import mcp\n"
        "mcp.find_spec = lambda name: None\n"
        "from logwarden.daemon.__main__ import main\n"
        "main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[1] == "  install it: pip install 'logwarden[mcp]'"
