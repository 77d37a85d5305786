"""Decides what an alert quotes of a record beside the text that the decoder made of it. Pure."""

from __future__ import annotations

from logwarden.model.schema import truncated


def quotation(record: bytes, text: str, max_chars: int) -> str | None:
    """Returns what an alert quotes of the record of its newest line, whose text is `text`; the record may be truncated.

    Returns None for a record that states the same, and for one that is no UTF-8 text.
    """
    if not record or not max_chars:
        return None
    try:
        written = record.decode()
    except UnicodeDecodeError as error:
        if error.start < len(record) - 3:  # otherwise only the last character is torn
            return None
        written = record[: error.start].decode()
    written = written.strip()
    is_same = written == text or (text.endswith("…") and written.startswith(text[:-1]))
    return None if is_same or not written or "\0" in written else truncated(written, max_chars)
