"""The settings: read once, described field by field, refused in a sentence that an operator can act on."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.describing import describe, settings_markdown
from logwarden.daemon.settings.groups import Settings, WindowSettings
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.settings.reading import read_settings

ROOT = Path(__file__).parents[4]


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_settings({f"LOGWARDEN_{variable}": value for variable, value in variables.items()})
    return str(caught.value)


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    """The defaults read `logs` from localhost with windows of 32 lines and step 1."""
    settings = read_settings({})
    assert settings == Settings()
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.input_topics == ("logs",)
    assert (settings.window.size, settings.window.step) == (32, 1)
    assert (settings.alerts.threshold, settings.alerts.learning_lines) == (None, 1_000)
    assert settings.http.port == 8080
    assert (settings.input.service_paths, settings.input.text_paths, settings.input.time_paths) == ((), (), ())


def test_variables_reach_their_nested_field() -> None:
    """`__` separates group and field, and the text becomes the field's type."""
    settings = read_settings({"LOGWARDEN_WINDOW__STEP": "16", "LOGWARDEN_MODEL__ALLOW_DOWNLOAD": "true"})
    assert settings.window.step == 16
    assert settings.model.allow_download is True


@pytest.mark.parametrize("value", ["a,b.c", " a , b.c ,", '["a", "b.c"]'])
def test_lists_are_json_or_commas(value: str) -> None:
    """Shell users write commas, charts write JSON, and both mean the same list."""
    assert read_settings({"LOGWARDEN_KAFKA__INPUT_TOPICS": value}).kafka.input_topics == ("a", "b.c")


@pytest.mark.parametrize("value", [",", "[]", '["a"', '[""]', "[1]"])
def test_a_list_of_nothing_is_refused(value: str) -> None:
    """An empty list, broken JSON and empty names are mistakes, not an idle daemon."""
    assert "LOGWARDEN_KAFKA__INPUT_TOPICS is " in refusal(KAFKA__INPUT_TOPICS=value)


def test_none_is_written_as_a_word_and_empty_means_unset() -> None:
    """`none` turns HTTP off; an empty variable, as compose files leave behind, keeps the default."""
    assert read_settings({"LOGWARDEN_HTTP__PORT": "none"}).http.port is None
    assert read_settings({"LOGWARDEN_HTTP__PORT": ""}).http.port == 8080


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"WINDOW__SIZE": "1"}, "LOGWARDEN_WINDOW__SIZE is '1', but it must be an integer 2–512"),
        ({"LOG__LEVEL": "loud"}, "LOGWARDEN_LOG__LEVEL is 'loud', but it must be one of debug, info, warning, error"),
        ({"MODEL__DEVICE": "tpu"}, "LOGWARDEN_MODEL__DEVICE is 'tpu', but it must be auto, cpu, cuda or cuda:N"),
        (
            {"ALERTS__THRESHOLD": "0"},
            "LOGWARDEN_ALERTS__THRESHOLD is '0', but it must be a number > 0 and ≤ 1 or none",
        ),
        (
            {"ALERTS__THRESHOLD": "nan"},
            "LOGWARDEN_ALERTS__THRESHOLD is 'nan', but it must be a number > 0 and ≤ 1 or none",
        ),
        (
            {"KAFKA__START_TIMEOUT_S": "inf"},
            "LOGWARDEN_KAFKA__START_TIMEOUT_S is 'inf', but it must be a number ≥ 0 or none",
        ),
        (
            {"KAFKA__SSL_CAFILE": "/no/ca.pem", "KAFKA__SECURITY_PROTOCOL": "SSL"},
            "LOGWARDEN_KAFKA__SSL_CAFILE is '/no/ca.pem', but it must be the path of an existing file or none",
        ),
        (
            {"HTTP__PORT": "65536", "LIMITS__MAX_SERVICES": "many"},
            "LOGWARDEN_LIMITS__MAX_SERVICES is 'many', but it must be an integer ≥ 1 (and 1 more is wrong)",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(variables: dict[str, str], sentence: str) -> None:
    """The sentence contains the variable, its value and the allowed values."""
    assert refusal(**variables) == sentence


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WINDOW__SIZE": "8", "WINDOW__STEP": "9"}, ["WINDOW__STEP is 9", "WINDOW__SIZE, which is 8"]),
        ({"KAFKA__REBALANCE_TIMEOUT_MS": "44999"}, ["REBALANCE_TIMEOUT_MS is 44999", "SESSION_TIMEOUT_MS"]),
        ({"KAFKA__FETCH_MAX_WAIT_MS": "1000", "KAFKA__REQUEST_TIMEOUT_MS": "1000"}, ["FETCH_MAX_WAIT_MS is 1000"]),
        ({"HEALTH__UNREADY_AFTER_S": "5", "KAFKA__FETCH_MAX_WAIT_MS": "5000"}, ["UNREADY_AFTER_S is 5", "5000 ms"]),
        ({"HEALTH__STUCK_TIMEOUT_S": "105"}, ["STUCK_TIMEOUT_S is 105", "105 s", "REBALANCE_TIMEOUT_MS"]),
        (
            {"HEALTH__STUCK_TIMEOUT_S": "290", "KAFKA__REQUEST_TIMEOUT_MS": "290000"},
            ["STUCK_TIMEOUT_S is 290", "REQUEST_TIMEOUT_MS"],
        ),
        ({"HEALTH__STUCK_TIMEOUT_S": "200", "WINDOW__MAX_WAIT_MS": "200000"}, ["200 s", "WINDOW__MAX_WAIT_MS"]),
        ({"LIMITS__MAX_IN_FLIGHT_LINES": "64"}, ["MAX_IN_FLIGHT_LINES is 64", "MAX_POLL_RECORDS"]),
        ({"KAFKA__INPUT_TOPICS": "a,logwarden.alerts"}, ["ALERTS_TOPIC is 'logwarden.alerts'", "reads its own output"]),
        ({"KAFKA__DEAD_LETTER_TOPIC": "logs"}, ["DEAD_LETTER_TOPIC is 'logs'"]),
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_USERNAME": "u"}, ["needs both", "SASL_PASSWORD"]),
        ({"KAFKA__SASL_USERNAME": "u"}, ["SASL_USERNAME", "PLAINTEXT, which ignores them"]),
        ({"KAFKA__SSL_CAFILE": __file__}, ["SSL_CAFILE", "PLAINTEXT, which ignores them"]),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_KEYFILE": __file__}, ["SSL_CERTFILE is not"]),
    ],
)
def test_settings_that_contradict_each_other_are_refused(variables: dict[str, str], words: list[str]) -> None:
    """Values that are right alone and wrong together are refused: they lose lines, loop, or leave a password unused."""
    sentence = refusal(**variables)
    assert [word for word in words if word not in sentence] == []


def test_an_unknown_variable_names_the_nearest_known_one() -> None:
    """A misspelt variable must not be ignored: the operator believes it works."""
    assert refusal(WINDOW_SIZE="16") == "LOGWARDEN_WINDOW_SIZE is not a setting; did you mean LOGWARDEN_WINDOW__SIZE?"
    assert refusal(HTTP_PORT="80") == "LOGWARDEN_HTTP_PORT is not a setting; did you mean LOGWARDEN_HTTP__PORT?"
    assert refusal(XYZZY="1") == "LOGWARDEN_XYZZY is not a setting"


def test_variables_of_others_that_share_the_prefix_are_left_alone() -> None:
    """Variables of the test suite and Kubernetes' service links for a Service called logwarden are ignored."""
    of_the_tests = re.findall(r"LOGWARDEN_[A-Z]+(?:_[A-Z]+)?(?==)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert "LOGWARDEN_REQUIRE_FAULTLAB" in of_the_tests
    foreign = {
        **dict.fromkeys(of_the_tests, "1"),
        "LOGWARDEN_SERVICE_HOST": "10.0.0.7",
        "LOGWARDEN_SERVICE_PORT": "8080",
        "LOGWARDEN_SERVICE_PORT_HTTP": "8080",
        "LOGWARDEN_PORT": "tcp://10.0.0.7:8080",
        "LOGWARDEN_PORT_8080_TCP": "tcp://10.0.0.7:8080",
        "LOGWARDEN_PORT_8080_TCP_ADDR": "10.0.0.7",
        "LOGWARDEN_METRICS_SERVICE_HOST": "10.0.0.8",
        "PATH": "/bin",
    }
    assert read_settings(foreign) == Settings()
    assert "is not a setting" in refusal(PORT="8080")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    """Each row of the description names the source of its value."""
    env_file = tmp_path / "logwarden.env"
    env_file.write_text("LOGWARDEN_WINDOW__SIZE=64\nexport LOGWARDEN_WINDOW__STEP='4'\nOTHER=1\n", encoding="utf-8")
    settings = read_settings({"LOGWARDEN_WINDOW__SIZE": "16"}, env_file)
    assert (settings.window.size, settings.window.step) == (16, 4)
    sources = {row.variable: row.source for row in describe(settings)}
    assert sources["LOGWARDEN_WINDOW__SIZE"] == "environment"
    assert sources["LOGWARDEN_WINDOW__STEP"] == "file"
    assert sources["LOGWARDEN_HTTP__PORT"] == "default"


def test_options_of_the_command_line_win_and_obey_the_same_limits() -> None:
    """An override is a setting like any other: checked, and named as the source."""
    variable = "LOGWARDEN_ALERTS__THRESHOLD"
    settings = read_settings({variable: "0.3"}, overrides={variable: "0.7"})
    assert settings.alerts.threshold == 0.7
    assert settings.origin(variable) == "option"
    with pytest.raises(ConfigurationError, match="> 0 and ≤ 1"):
        read_settings({}, overrides={variable: "7"})


def test_a_dollar_in_the_file_is_a_dollar(tmp_path: Path) -> None:
    """A password such as pa${HOME}ss is not interpolated."""
    env_file = tmp_path / "logwarden.env"
    env_file.write_text("LOGWARDEN_KAFKA__GROUP_ID=pa${HOME}ss\n", encoding="utf-8")
    assert read_settings({}, env_file).kafka.group_id == "pa${HOME}ss"


def test_the_preset_for_fast_failover_is_accepted() -> None:
    """It removes a killed member sooner than the default, and leaves the revoke more than the session's time-out."""
    preset = read_settings({}, ROOT / "deploy" / "fast-failover.env").kafka
    assert preset.session_timeout_ms <= Settings().kafka.session_timeout_ms // 4
    assert preset.rebalance_timeout_ms / 2 > preset.session_timeout_ms
    changed = {name for name in type(preset).model_fields if getattr(preset, name) != getattr(Settings().kafka, name)}
    assert changed == {"session_timeout_ms", "rebalance_timeout_ms", "request_timeout_ms"}


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """A missing env file, a folder in its place and binary rubbish are named, not shown as a traceback."""
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.env", tmp_path, rubbish):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_settings({}, path)


def test_a_misspelt_variable_in_the_file_is_refused_too(tmp_path: Path) -> None:
    """A file may contain the same names as the environment, and no others."""
    env_file = tmp_path / "logwarden.env"
    env_file.write_text("LOGWARDEN_WINDOW__SIZ=64\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="did you mean LOGWARDEN_WINDOW__SIZE"):
        read_settings({}, env_file)


def test_the_real_environment_is_read_by_load_and_only_by_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that builds Settings() gets the defaults, whatever its shell exports."""
    monkeypatch.setenv("LOGWARDEN_WINDOW__SIZE", "64")
    for name in [name for name in os.environ if name.startswith("LOGWARDEN_") and "__" not in name]:
        monkeypatch.delenv(name)
    assert read_settings().window.size == 64
    assert Settings().window.size == 32


def test_secrets_are_never_shown() -> None:
    """Neither the description nor the representation of the settings contains the password."""
    settings = read_settings(
        {
            "LOGWARDEN_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "LOGWARDEN_KAFKA__SASL_USERNAME": "reader",
            "LOGWARDEN_KAFKA__SASL_PASSWORD": "hunter2",
        }
    )
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings) + repr(describe(settings)) + settings.model_dump_json()


def test_settings_are_frozen() -> None:
    """The settings of the start cannot change until the end."""
    with pytest.raises(ValidationError):
        Settings().window.size = 3
    assert Settings(window=WindowSettings(size=3), kafka=KafkaSettings(group_id="g")).window.size == 3


def test_every_setting_is_described_with_its_unit() -> None:
    """Each description is a sentence, with the unit of a duration and the meaning of None."""
    rows = describe(Settings())
    assert len(rows) == len({row.variable for row in rows}) > 50
    for row in rows:
        assert row.description.endswith("."), row.variable
        assert not row.variable.endswith("_MS") or "illiseconds" in row.description, row.variable
        assert not row.variable.endswith("_S") or "Seconds" in row.description, row.variable
        assert "none" not in row.allowed.split() or "None:" in row.description, row.variable


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("LOGWARDEN_WINDOW__SIZE", "integer 2–512"),
        ("LOGWARDEN_LIMITS__MAX_SERVICES", "integer ≥ 1"),
        ("LOGWARDEN_HTTP__PORT", "integer 0–65535 or none"),
        ("LOGWARDEN_BATCH__MAX_DELAY_MS", "number 0–10000"),
        ("LOGWARDEN_ALERTS__THRESHOLD", "number > 0 and ≤ 1 or none"),
        ("LOGWARDEN_KAFKA__GROUP_ID", "string"),
        ("LOGWARDEN_KAFKA__SASL_PASSWORD", "string or none"),
        ("LOGWARDEN_KAFKA__INPUT_TOPICS", "list of strings"),
        ("LOGWARDEN_KAFKA__SSL_CAFILE", "path of an existing file or none"),
        ("LOGWARDEN_MODEL__PATH", "path of an existing directory or none"),
        ("LOGWARDEN_MODEL__ALLOW_DOWNLOAD", "true or false"),
        ("LOGWARDEN_LOG__FORMAT", "one of auto, json, console"),
        ("LOGWARDEN_MODEL__DEVICE", "auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_type_is_named_as_programmers_name_it(variable: str, allowed: str) -> None:
    """The type column has the words that an operator knows from other manuals, with the limits behind them."""
    assert {row.variable: row.allowed for row in describe(Settings())}[variable] == allowed


def test_the_page_has_a_row_per_setting() -> None:
    """The page is generated, so a new setting or a new group cannot be forgotten in it."""
    page = settings_markdown().splitlines()
    rows = [line for line in page if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [row.variable for row in describe(Settings())]
    assert rows[0].startswith("| `LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS` | string | `localhost:9092` | Brokers")
    assert {line.count("|") for line in rows} == {5}
    assert [line for line in page if line.startswith("## ")] == [
        f"## {group.capitalize()}" for group in Settings.model_fields
    ]
