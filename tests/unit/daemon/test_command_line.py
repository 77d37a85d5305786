"""The command line: its imports, its output, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

import logwarden.daemon.__main__ as cli
from logwarden.daemon.commands.alerts import AlertOptions, show_value, tail_alerts
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.errors import BrokerUnavailable, ConfigurationError, FatalError
from logwarden.daemon.incidents.alert import Alert, build_alert, decode_alert
from logwarden.daemon.settings.describing import setting_fields, settings_markdown
from logwarden.daemon.settings.groups import Settings
from logwarden.model.schema import AlertKind, LogLine, LogWindow, Verdict


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own, with no settings but the given ones."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
    return subprocess.run(
        [sys.executable, "-m", "logwarden", *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Runs the command line in this process. Returns exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["logwarden", *arguments])
    for name in [name for name in os.environ if name.startswith("LOGWARDEN_")]:
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as exited:
        cli.main()
    captured = capsys.readouterr()
    assert exited.value.code is None or isinstance(exited.value.code, int)
    return exited.value.code or 0, captured.out, captured.err


def an_alert(offset: int = 7, text: str = "panic", service: str = "api", score: float = 0.9) -> Alert:
    window = LogWindow(service=service, lines=(LogLine(text=text, offset=offset),), topic="logs")
    return build_alert(
        Verdict(
            window=window,
            probabilities=(1 - score, score),
            logits=(0.0, 1.0),
            threshold=0.5,
            learning=False,
            history_lines=1,
            model_revision="r",
            kind=AlertKind.NEW_LINE,
        ),
        now_ms=None,
    )


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Replaces Kafka by an alerts topic in memory: its values, and whether its reader was closed."""
    state = SimpleNamespace(values=[], closed=False, request=None)

    async def tail_topic(
        settings: Settings, name: str, *, from_beginning: bool, since_ms: int | None, follow: bool
    ) -> AsyncIterator[tuple[bytes | None, bytes]]:
        state.request = (name, from_beginning)
        state.since_ms, state.follow = since_ms, follow
        try:
            for value in state.values:
                if isinstance(value, BaseException):
                    raise value
                yield b"api", value
        finally:
            state.closed = True

    kafka = ModuleType("logwarden.daemon.kafka.tail")
    kafka.tail_topic = tail_topic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "logwarden.daemon.kafka.tail", kafka)
    return state


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["config"], ["run", "--help"], ["scan", "--help"], ["mcp", "--help"]]
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    """Help and settings answer at once, also on a machine where torch cannot load."""
    heavy = ["torch", "transformers", "aiokafka", "numpy", "sklearn", "mcp", "uvicorn"]
    code = (
        f"import sys; sys.argv = ['logwarden', *{arguments!r}]\n"
        "from logwarden.daemon.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        f"sys.exit(','.join(set({heavy!r}) & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_training_without_torch_is_a_sentence(command: str) -> None:
    """Where only what serves is installed, a command that trains names what is missing and how to get it."""
    code = (
        f"import sys; sys.argv = ['logwarden', {command!r}]\n"
        "from logwarden.daemon.commands.parsers import programs\n"
        "programs.find_spec = lambda name: None\n"
        "from logwarden.daemon.__main__ import main\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("logwarden: torch and transformers cannot be imported")
    assert "pip install" in ended.stderr


def test_help_names_every_command() -> None:
    """`--help` lists every command."""
    ended = run("--help")
    assert ended.returncode == 0
    for command in ("run", "demo", "scan", "status", "alerts", "train", "evaluate", "faultlab", "config"):
        assert f" {command} " in ended.stdout


def test_the_version_is_the_package_version() -> None:
    """One number for the package, the metrics and the command line."""
    from logwarden.model.version import __version__

    assert run("--version").stdout == f"logwarden {__version__}\n"


def test_a_wrong_setting_is_a_sentence_and_exit_code_2() -> None:
    """No traceback: the operator reads which variable, what is wrong, what is allowed."""
    for command in ("config", "run", "alerts"):
        ended = run(command, LOGWARDEN_WINDOW__SIZE="1")
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr.splitlines() == [
            "logwarden: LOGWARDEN_WINDOW__SIZE is '1', but it must be an integer 2–512",
            "  `logwarden config` lists every setting with its default and meaning",
        ]


def test_scan_options_obey_the_limits_of_settings(tmp_path: Path) -> None:
    """A wrong option and a missing file are sentences with exit code 2, before a model is loaded."""
    for arguments, words in (
        (["--threshold", "2"], "LOGWARDEN_ALERTS__THRESHOLD is '2.0', but it must be"),
        (["--device", "tpu"], "LOGWARDEN_MODEL__DEVICE is 'tpu', but it must be"),
        (["--model", str(tmp_path / "none")], "but it must be the path of an existing directory or none"),
        ([], "'no-such.log' cannot be read: No such file or directory"),
    ):
        ended = run("scan", "no-such.log", *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_missing_env_file_is_a_sentence_and_exit_code_2() -> None:
    """The sentence names the missing path."""
    ended = run("config", "--env-file", "no-such.env")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "logwarden: the env file 'no-such.env' cannot be read: No such file or directory",
        "  check the path after --env-file: the file must be readable UTF-8 text",
    ]


def test_config_shows_values_and_where_they_came_from(tmp_path: Path) -> None:
    """The table contains every variable with the source of its value; secrets are stars."""
    env_file = tmp_path / "x.env"
    env_file.write_text("LOGWARDEN_WINDOW__STEP=4\n", encoding="utf-8")
    ended = run(
        "config",
        "--env-file",
        str(env_file),
        LOGWARDEN_KAFKA__SECURITY_PROTOCOL="SASL_SSL",
        LOGWARDEN_KAFKA__SASL_USERNAME="u",
        LOGWARDEN_KAFKA__SASL_PASSWORD="hunter2",
    )
    assert ended.returncode == 0
    assert "hunter2" not in ended.stdout
    rows = [line.split() for line in ended.stdout.splitlines() if line.startswith("LOGWARDEN_")]
    assert len(rows) == len(list(setting_fields()))
    assert ["LOGWARDEN_WINDOW__STEP", "4", "file"] in rows
    assert ["LOGWARDEN_KAFKA__SASL_USERNAME", "u", "environment"] in rows
    assert ["LOGWARDEN_WINDOW__SIZE", "32", "default"] in rows
    assert "at most the size. Default: 1." in ended.stdout


def test_config_refuses_what_run_refuses() -> None:
    """An operator checks an address with `config` before the daemon starts."""
    ended = run("config", LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS="[::1]:9999999")
    assert ended.returncode == 2
    assert ended.stderr.startswith("logwarden: LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS contains '[::1]:9999999', which has")


def test_config_is_readable_by_machines() -> None:
    """`--format json` is one list of objects; `--format markdown` is the page docs/settings.md."""
    rows = json.loads(run("config", "--format", "json", LOGWARDEN_HTTP__PORT="0").stdout)
    assert len(rows) == len(list(setting_fields()))
    port = next(row for row in rows if row["variable"] == "LOGWARDEN_HTTP__PORT")
    assert (port["value"], port["default"], port["source"]) == ("0", "8080", "environment")
    assert run("config", "--format", "markdown").stdout == settings_markdown()


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigurationError("the sentence", hint="do this"), 2, ["logwarden: the sentence", "  do this"]),
        (FatalError("the sentence"), 1, ["logwarden: the sentence"]),
        (
            BrokerUnavailable("b:9092", "refused"),
            1,
            [
                "logwarden: no Kafka broker answered at b:9092: refused",
                "  check LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS and that the broker is running",
            ],
        ),
        (PermissionError(13, "Permission denied", "/root/x"), 2, ["logwarden: /root/x: Permission denied"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_errors_of_the_tree_become_sentences_and_exit_codes(
    topic: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    lines: list[str],
) -> None:
    """Errors end with 0 drained, 1 fatal or 2 configuration; a hint has its own line, and Ctrl-C prints nothing."""
    topic.values = [error]
    ended = called(monkeypatch, capsys, "alerts")
    assert ended == (code, "", "".join(f"{line}\n" for line in lines))


def test_a_fault_of_ours_keeps_its_traceback(topic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception outside the tree is a bug, and shows its traceback."""
    topic.values = [ZeroDivisionError()]
    monkeypatch.setattr(sys, "argv", ["logwarden", "alerts"])
    for name in [name for name in os.environ if name.startswith("LOGWARDEN_")]:
        monkeypatch.delenv(name)
    with pytest.raises(ZeroDivisionError):
        cli.main()


async def test_alerts_leave_after_the_limit_and_close_the_reader(
    topic: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--limit 2` prints two alerts and closes the consumer, so that a script does not hang."""
    topic.values = [an_alert(offset).encode() for offset in range(5)]
    console = Console(file=io.StringIO())
    await tail_alerts(AlertOptions(form=AlertFormat.jsonl, from_beginning=True, limit=2), Settings(), console)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["logwarden"]["source"]["last_offset"] for line in lines] == [0, 1]
    assert topic.closed
    assert topic.request == ("logwarden.alerts", True)


async def test_a_limit_of_zero_asks_nobody(topic: SimpleNamespace) -> None:
    """A limit of 0 needs no broker."""
    await tail_alerts(AlertOptions(form=AlertFormat.jsonl, limit=0), Settings(), Console(file=io.StringIO()))
    assert topic.request is None


def test_json_lines_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A line break within a log line, or a pretty-printed value, does not break the form."""
    alert = an_alert(text="Traceback:\n  boom")
    show_value(
        json.dumps(json.loads(alert.encode()), indent=2).encode(), AlertFormat.jsonl, Console(file=io.StringIO())
    )
    (line,) = capsys.readouterr().out.splitlines()
    assert decode_alert(line.encode()) == alert


@pytest.mark.parametrize(
    "value", [b"hello \x1b[2J", b"\xff", b"[]", b"{}", b'{"schema_version": 2, "logwarden": 1}', None]
)
@pytest.mark.parametrize("form", list(AlertFormat))
def test_a_strange_value_is_shown_escaped_and_ends_nothing(
    value: bytes | None, form: AlertFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another producer's record on the topic does not stop the tail, and cannot control the terminal."""
    stream = io.StringIO()
    show_value(value, form, Console(file=stream, width=200))
    captured = capsys.readouterr()
    notes = captured.err if form is AlertFormat.jsonl else stream.getvalue()
    assert notes.startswith("not an alert: ")
    assert "\x1b" not in notes
    assert captured.out == ""


def test_pretty_alerts_are_rendered() -> None:
    """The default form is for people."""
    stream = io.StringIO()
    show_value(an_alert().encode(), AlertFormat.pretty, Console(file=stream, width=200))
    assert stream.getvalue().startswith("● ERROR  api  0.900 ≥ 0.500")


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("train", "logwarden.training.head"),
        ("evaluate", "logwarden.training.evaluation"),
        ("faultlab", "logwarden.training.faultlab"),
        ("demo", "logwarden.demo"),
    ],
)
def test_commands_of_other_storeys_become_the_other_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, module: str
) -> None:
    """All arguments are passed on unchanged, `--help` included."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: became.append(arguments))
    for arguments in (["--help"], ["--seed", "1", "out dir", "-v"]):
        called(monkeypatch, capsys, command, *arguments)
        assert became.pop() == [sys.executable, "-P", "-m", module, *arguments]
