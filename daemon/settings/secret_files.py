"""Reads secrets from files, as Docker and Kubernetes mount them. No message contains a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, FilePath, SecretStr

_LARGEST = 65_536
"""Bytes of the largest secret: a token has some thousands, and a wrong path may name a file of any size."""


def secret_in(path: Path) -> str:
    """Returns a file's text without one newline at its end, which editors and `echo` add.

    Raises ValueError with the reason if the file cannot be read, is empty, too large, or no UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"names the file {str(path)!r}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"names the file {str(path)!r}, which is no UTF-8 text") from None
    if len(content) > _LARGEST:
        raise ValueError(f"names the file {str(path)!r}, which has more than {_LARGEST:,} bytes")
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"names the file {str(path)!r}, which is empty")
    return secret


def secret_of(value: SecretStr | None, path: Path | None) -> str | None:
    """Returns the secret of a setting or of its file, read now. Raises ValueError as `secret_in` does."""
    if path is not None:
        return secret_in(path)
    return None if value is None else value.get_secret_value()


def _checked(path: Path) -> Path:
    secret_in(path)
    return path


SecretFile = Annotated[FilePath, AfterValidator(_checked)]
"""Path of a file that contains a secret and nothing else."""
