"""Classes of services, as the environment writes them."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.reading import read_settings


def test_classes_are_read_in_their_order() -> None:
    """The order of the entries is kept, since the first one that matches counts."""
    settings = read_settings({"LOGWARDEN_HTTP__SERVICE_CLASSES": "payments=pay-*, web=web-*,payments=bank=1"})
    assert settings.http.service_classes == ("payments=pay-*", "web=web-*", "payments=bank=1")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("pay-*", "contains 'pay-*'; write class=pattern"),
        ("web=", "contains 'web='"),
        ("Web=web-*", "names a class 'Web'; write at most 32 of a-z"),
        ("other=web-*", "and not other"),
        (",".join(f"c{number}=x" for number in range(17)), "names 17 classes; name at most 16"),
        (",".join(f"a=x{number}" for number in range(33)), "has 33 entries; write at most 32"),
    ],
)
def test_a_wrong_class_is_a_sentence(value: str, words: str) -> None:
    """Labels are few and plain: a metrics store pays for each value."""
    with pytest.raises(ConfigurationError) as refused:
        read_settings({"LOGWARDEN_HTTP__SERVICE_CLASSES": value})
    assert words in str(refused.value)
