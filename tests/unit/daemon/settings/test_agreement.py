"""Credentials and certificates that contradict each other, each in a sentence with the variable to change."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.agreement import advice
from logwarden.daemon.settings.reading import read_settings

SASL = {"SECURITY_PROTOCOL": "SASL_SSL"}
OAUTH = SASL | {"SASL_MECHANISM": "OAUTHBEARER"}
ENDPOINT = {"OAUTH_TOKEN_URL": "https://idp/token", "OAUTH_CLIENT_ID": "me", "OAUTH_CLIENT_SECRET": "s3cret"}
USER = {"SASL_USERNAME": "u", "SASL_PASSWORD": "hunter2"}


def variables(settings: dict[str, str]) -> dict[str, str]:
    return {f"LOGWARDEN_KAFKA__{name}": value for name, value in settings.items()}


@pytest.mark.parametrize(
    "settings",
    [
        SASL | USER,
        SASL | USER | {"SASL_MECHANISM": "SCRAM-SHA-512"},
        SASL | {"SASL_USERNAME": "u", "SASL_PASSWORD_FILE": __file__},
        OAUTH | {"OAUTH_TOKEN_FILE": __file__},
        OAUTH | ENDPOINT,
        OAUTH | ENDPOINT | {"OAUTH_SCOPE": "kafka"},
        {"SECURITY_PROTOCOL": "SSL", "SSL_CERTFILE": __file__, "SSL_KEY_PASSWORD": "open"},
    ],
)
def test_credentials_that_are_complete_are_accepted(settings: dict[str, str]) -> None:
    """Every documented way to log in needs no other setting."""
    assert read_settings(variables(settings)).kafka.security_protocol == settings["SECURITY_PROTOCOL"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (SASL, "needs both LOGWARDEN_KAFKA__SASL_USERNAME and LOGWARDEN_KAFKA__SASL_PASSWORD"),
        (SASL | {"SASL_PASSWORD": "hunter2"}, "needs both"),
        (SASL | {"SASL_USERNAME": "u"}, "needs both"),
        (USER, "SASL_PASSWORD are set, but LOGWARDEN_KAFKA__SECURITY_PROTOCOL is PLAINTEXT, which ignores them"),
        (ENDPOINT, "OAUTH_TOKEN_URL and LOGWARDEN_KAFKA__OAUTH_CLIENT_ID and"),
        ({"SASL_MECHANISM": "OAUTHBEARER"}, "SASL_MECHANISM is OAUTHBEARER, but"),
        (SASL | USER | ENDPOINT, "SASL_MECHANISM is PLAIN, which uses no token; it must be OAUTHBEARER"),
        (OAUTH | ENDPOINT | USER, "which uses a token and no password; remove them"),
        (OAUTH, "needs either LOGWARDEN_KAFKA__OAUTH_TOKEN_FILE, or all of"),
        (OAUTH | {"OAUTH_TOKEN_URL": "https://idp/token"}, "needs either"),
        (OAUTH | {k: v for k, v in ENDPOINT.items() if k != "OAUTH_CLIENT_SECRET"}, "needs either"),
        (OAUTH | ENDPOINT | {"OAUTH_TOKEN_FILE": __file__}, "OAUTH_TOKEN_URL are both set"),
        (OAUTH | {"OAUTH_SCOPE": "kafka", "OAUTH_TOKEN_FILE": __file__}, "OAUTH_SCOPE are both set"),
        ({"SSL_KEY_PASSWORD": "hunter2"}, "SSL_KEY_PASSWORD is set, but LOGWARDEN_KAFKA__SECURITY_PROTOCOL is"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_KEY_PASSWORD_FILE": __file__}, "but LOGWARDEN_KAFKA__SSL_CERTFILE is not"),
    ],
)
def test_credentials_that_contradict_each_other_are_refused(settings: dict[str, str], sentence: str) -> None:
    """A secret that is not used, or a mechanism without its secret, is a mistake; the secret is in no message."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings(variables(settings))
    assert sentence in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert "s3cret" not in str(caught.value)


URL = {"SCHEMA_REGISTRY_URL": "https://registry:8081"}


@pytest.mark.parametrize(
    "settings",
    [
        URL,
        URL | {"SCHEMA_REGISTRY_USERNAME": "u", "SCHEMA_REGISTRY_PASSWORD": "hunter2"},
        URL | {"SCHEMA_REGISTRY_USERNAME": "u", "SCHEMA_REGISTRY_PASSWORD_FILE": __file__},
        URL | {"SCHEMA_REGISTRY_CAFILE": __file__, "FORMAT": "avro", "FORMATS": "logs=protobuf"},
    ],
)
def test_a_registry_with_all_that_it_needs_is_accepted(settings: dict[str, str]) -> None:
    """A URL is enough, a login is complete, and formats with schemas have their registry."""
    found = read_settings({f"LOGWARDEN_INPUT__{name}": value for name, value in settings.items()})
    assert found.input.schema_registry_url == URL["SCHEMA_REGISTRY_URL"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"SCHEMA_REGISTRY_CAFILE": __file__}, "_CAFILE is set, but LOGWARDEN_INPUT__SCHEMA_REGISTRY_URL is not"),
        ({"FORMAT": "avro"}, "the format avro is pinned, which needs a schema registry; set LOGWARDEN_INPUT__SCHEMA_"),
        ({"FORMATS": "logs=protobuf"}, "the format protobuf is pinned, which needs a schema registry"),
        (URL | {"SCHEMA_REGISTRY_USERNAME": "u"}, "but a login needs both"),
        (URL | {"SCHEMA_REGISTRY_PASSWORD": "hunter2"}, "but a login needs both"),
        (
            URL | {"SCHEMA_REGISTRY_PASSWORD": "hunter2", "SCHEMA_REGISTRY_PASSWORD_FILE": __file__},
            "PASSWORD_FILE are both set; set one of them",
        ),
        (
            {"SCHEMA_REGISTRY_URL": "http://registry", "SCHEMA_REGISTRY_CAFILE": __file__},
            "begins with http:, which ignores it",
        ),
        ({"SCHEMA_REGISTRY_URL": "registry:8081"}, "LOGWARDEN_INPUT__SCHEMA_REGISTRY_URL is no URL"),
        (
            {"SCHEMA_REGISTRY_URL": "https://u:hunter2@registry"},
            "contains a user; remove it, and set LOGWARDEN_INPUT__SCHEMA_REGISTRY_USERNAME and its password",
        ),
    ],
)
def test_a_registry_that_cannot_work_is_refused(settings: dict[str, str], sentence: str) -> None:
    """A mistake is found at start; the password is in no message."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings({f"LOGWARDEN_INPUT__{name}": value for name, value in settings.items()})
    assert sentence in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("settings", "is_advised"),
    [
        ({}, False),
        ({"MAX_CONTEXT_RECORDS": "49151"}, True),
        ({"MAX_CONTEXT_RECORDS": "49152"}, False),
        ({"MAX_CONTEXT_RECORDS": "400", "STATE_TOPIC": "none"}, False),
    ],
)
def test_a_context_too_small_for_the_lines_in_flight_is_advised_against(
    settings: dict[str, str], is_advised: bool
) -> None:
    """Lines between a cut of the state and the commit would be in no history after a crash."""
    sentences = list(advice(read_settings(variables(settings))))
    assert bool(sentences) is is_advised
    if is_advised:
        assert "LOGWARDEN_KAFKA__MAX_CONTEXT_RECORDS is 49151, and up to 36864 lines" in sentences[0]
        assert "set it to at least 49152" in sentences[0]
