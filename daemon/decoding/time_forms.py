"""Knows the forms in which people and programs write a moment, and its milliseconds since the epoch.

`line_times.py` finds them at the heads of lines, `times.py` in fields. A moment without a zone is in the zone of the
settings. One without a year, or with day and month in unknown order, is the one nearest to the record's own time that
is not days after it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_AHEAD_MS, _YEAR_MS = 3 * 86_400_000, 366 * 86_400_000
"""A line may be ahead of its record by a wrong zone or clock, and its record's time is known to the day."""
_END_MS = 253_370_764_800_000
"""The year 9999 in milliseconds since the epoch."""
FIRST_YEAR, LAST_YEAR = 1980, 2100
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan janv ene gen янв sty sij", "feb févr fév фев lut velj", "mar mär mrz mars maart мар mrt",
            "apr avr abr апр kwi",
            "may mai mag май мая mei maj", "jun juin giu июн cze", "jul juil lug июл lip", "aug août ago авг sie",
            "sep sept set сен wrz", "oct okt ott out окт paź", "nov ноя lis", "dec dez déc dic дек gru",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
# Letters of zones that mean one offset all over the world; IST and CST do not.
ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 60, "BST": 60, "CET": 60, "CEST": 120, "EET": 120, "EEST": 180,
    "MSK": 180, "SAST": 120, "NST": -210, "NDT": -150, "AST": -240, "ADT": -180, "EST": -300, "EDT": -240, "CDT": -300,
    "MST": -420, "MDT": -360, "PST": -480, "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600, "JST": 540, "KST": 540,
    "HKT": 480, "SGT": 480, "AWST": 480, "AEST": 600, "AEDT": 660, "ACST": 570, "ACDT": 630, "NZST": 720, "NZDT": 780,
}  # fmt: skip

_CLOCK = r"(?P<h>\d\d?):(?P<m>\d\d)(?::(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?)?(?P<pm> ?[AaPp][Mm]\b)?"
_ZONE = r"(?: ?(?P<z>Z\b|[+-]\d\d(?::?\d\d)?\b|[A-Z]{3,4}\b))?"
_HALF = r"(?:上午|午前|오전|(?P<half>下午|午後|오후))"
_SPOKEN = r"(?P<h>\d\d?)(?::|[時时点點] ?|시 ?)(?P<m>\d\d)(?:(?::|[分분] ?)(?P<s>\d\d)[秒초]?(?:[.,](?P<f>\d{1,9}))?)?"
_NAME = r"(?P<mon>[^\W0-9_]{3,9})\.?"


def _compiled(*forms: str) -> list[re.Pattern[str]]:
    parts = {"clock": _CLOCK, "zone": _ZONE, "name": _NAME, "half": _HALF, "spoken": _SPOKEN}
    return [re.compile(form.format(**parts).replace(r"\d", "[0-9]")) for form in forms]  # no digits of other scripts


_NUMBERED = _compiled(
    r"(?P<y>\d{{4}})[-/.](?P<mo>\d\d)[-/.](?P<d>\d\d)[T _:-]?(?:- | )?{clock}{zone}",
    r"(?P<d>\d\d)/{name}/(?P<y>\d{{4}})[: ]{clock}{zone}",
    r"(?P<d>\d{{1,2}})[- ]{name}[- ](?P<y>\d{{4}})[ ,]{{1,2}}{clock}{zone}",
    r"(?P<a>\d\d?)(?P<sep>[./-])(?P<b>\d\d?)(?P=sep)(?P<y>\d{{4}}),?[ T]{clock}{zone}",
    r"(?P<y>\d{{4}})(?P<mo>\d\d)(?P<d>\d\d)[ T:-]{clock}{zone}",
    r"(?P<y>\d{{4}})[-/.](?P<mo>\d\d)[-/.](?P<d>\d\d)[T _-](?P<h>\d\d)\.(?P<m>\d\d)\.(?P<s>\d\d)(?!\d)"
    r"(?:[.,:](?P<f>\d{{1,9}}))?(?!\d)",
    r"(?P<y>\d{{4}})[-.]?(?P<day>\d{{3}})[T ]{clock}{zone}",
    r"(?P<yy>\d\d)[-/]?(?P<mo>\d\d)[-/]?(?P<d>\d\d)  ?{clock}{zone}",
    r"(?P<a>\d\d)(?P<sep>/)(?P<b>\d\d)/(?P<yy>\d\d)  ?{clock}{zone}",
    r"(?P<mo>\d\d)-?(?P<d>\d\d) {clock}",
    r"(?P<y>\d{{4}})[年년] ?(?P<mo>\d{{1,2}})[月월] ?(?P<d>\d{{1,2}})[日일] ?(?:{half} ?)?{spoken}{zone}",
    r"(?P<y>\d{{4}})(?P<mo>\d\d)(?P<d>\d\d)[T _-]?(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)(?:[.,]?(?P<f>\d{{1,9}}))?"
    r"(?!\d){zone}",
)
_NAMED = _compiled(
    r"(?:\w{{2,9}}\.?,? )?(?P<d>\d{{1,2}})[- ]{name}[- ](?P<y>\d{{4}})[ ,]{{1,2}}{clock}{zone}",
    r"(?:\w{{2,9}}\.?,? )?(?P<d>\d{{1,2}})-{name}-(?P<yy>\d\d) {clock}{zone}",
    r"(?:\w{{2,9}}\.?,? )?{name}  ?(?P<d>\d{{1,2}}),? (?P<y>\d{{4}})[ ,]{{1,2}}{clock}{zone}",
    r"(?:\w{{2,4}},? )?{name}  ?(?P<d>\d{{1,2}}) {clock}(?: (?P<z>[A-Z]{{3,4}}|[+-]\d{{4}})(?= \d{{4}}\b))?"
    r"(?: (?P<y>\d{{4}})\b(?: (?P<late>UTC|GMT|[A-Z]{{2,3}}T|[+-]\d{{4}})\b)?)?",
    r"[IWEFDV](?P<y>\d{{4}})(?P<mo>\d\d)(?P<d>\d\d) {clock}",
    r"[IWEFDV](?P<mo>\d\d)(?P<d>\d\d) {clock}",
)


def _any_of(forms: list[re.Pattern[str]]) -> re.Pattern[str]:
    """Returns a pattern that matches wherever one of the forms does, and perhaps elsewhere."""
    plain = (re.sub(r"\(\?P<\w+>", "(?:", form.pattern).replace("(?P=sep)", "[./-]") for form in forms)
    return re.compile("|".join(plain))


_ANY_NUMBERED, _ANY_NAMED = _any_of(_NUMBERED), _any_of(_NAMED)
_AROUND = re.compile(
    r"\[(.{8,62})\]|(.{8,64}?)(?:\[[\w/+-]{1,40}\]|(?: [A-Z]{3,4})? m=[+-][0-9.]{1,24}|(?<=[+-][0-9]{4}) [A-Z]{3,4})"
)
"""A moment in brackets, or before the name of its zone, or before what Go adds."""


def has_form(head: str, place: int) -> bool:
    """Returns False where no moment can begin, whatever the digits are."""
    return (_ANY_NAMED if head[place].isalpha() else _ANY_NUMBERED).match(head, place) is not None


def moment_at(head: str, place: int, near_ms: int, zone: tzinfo) -> int | None:
    """Returns the moment that begins at a place, whatever is behind it; None if none begins there."""
    # Most places match none of the forms, and one pattern for all of them finds that out at once.
    if not has_form(head, place):
        return None
    moments = []
    for form in _NAMED if head[place].isalpha() else _NUMBERED:
        if found := form.match(head, place):
            at_ms = _of_parts(found.groupdict(), near_ms, zone)
            if at_ms is not None:
                if found.lastgroup is None or near_ms < 0 or found.groupdict().get("yy") is None:
                    return at_ms
                moments.append(at_ms)  # of a year of two digits several forms may make a moment
    return min(moments, key=lambda at_ms: _distance(at_ms, near_ms), default=None)


def _distance(at_ms: int, near_ms: int) -> int:
    """Returns how far a moment is from the record's, a year more if it is days after the record was written."""
    # A record of October, with a line of February without a year: that of eight months ago, not the next one.
    return abs(at_ms - near_ms) + (_YEAR_MS if at_ms > near_ms + _AHEAD_MS else 0)


def whole_moment(text: str, zone: tzinfo) -> int | None:
    """Returns the moment that a text consists of; None for any other text."""
    if around := _AROUND.fullmatch(text):
        text = around[1] or around[2]
    if not text:
        return None
    # A text such as `Nov 23 10:00:00` has no year, and no clock is here.
    found = (form.fullmatch(text) for form in (_NAMED if text[0].isalpha() else _NUMBERED))
    moments = (_of_parts(one.groupdict(), -1, zone, strict=True) for one in found if one)
    return next((at_ms for at_ms in moments if at_ms is not None), None)


def offset_min(zone: str) -> int | None:
    """Returns the minutes of an offset, or of the letters of a zone, before UTC; None for one that there is not."""
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1) if hours < 24 and minutes < 60 else None
    return ZONES.get(zone)


def _of_parts(parts: dict[str, str | None], near_ms: int, zone: tzinfo, *, strict: bool = False) -> int | None:
    """Returns the moment of a form's parts. `strict`: a zone that there is not makes no moment."""
    days = _days(parts)
    written = parts.get("z") or parts.get("late")
    offset = offset_min(written) if written else None
    if strict and written and offset is None and written[0] in "+-":
        return None
    where = zone if offset is None else timezone(timedelta(minutes=offset))
    hour = int(parts["h"] or 0)
    if parts.get("pm"):
        hour = hour % 12 + (12 if str(parts["pm"]).strip().lower() == "pm" else 0)
    elif parts.get("half"):
        hour = hour % 12 + 12
    ms = int((parts.get("f") or "0")[:3].ljust(3, "0"))
    second = int(parts.get("s") or 0)
    clock = (hour, int(parts["m"] or 0), 59 if second == 60 else second)  # a leap second counts as the one before it
    years = _years(parts, near_ms)
    found = []
    for year in years:
        for month, day in days:
            try:
                found.append(to_ms(datetime(year, month, day, *clock, tzinfo=where)) + ms)
            except ValueError:  # the 31st of a month that has none
                continue
    if not found:
        return None
    return found[0] if near_ms < 0 else min(found, key=lambda at_ms: _distance(at_ms, near_ms))


def _days(parts: dict[str, str | None]) -> list[tuple[int, int]]:
    """Returns the possible (month, day): two where day and month stand in unknown order."""
    if name := parts.get("mon"):
        key = name.lower()
        number = _MONTHS.get(key) or _MONTHS.get(key[:3], 0)
        return [(number, int(parts["d"] or 0))]
    if parts.get("a"):
        first, second = int(parts["a"] or 0), int(parts["b"] or 0)
        # Only the United States write the month first: before a slash, or where nothing else makes a date.
        return [(first, second), (second, first)] if parts["sep"] == "/" or second > 12 else [(second, first)]
    if day := parts.get("day"):
        first_day = datetime(int(parts["y"] or 0) or 1, 1, 1, tzinfo=UTC)
        at = first_day + timedelta(days=int(day) - 1)
        return [(at.month, at.day)] if at.year == first_day.year else []
    return [(int(parts["mo"] or 0), int(parts["d"] or 0))]


def _years(parts: dict[str, str | None], near_ms: int) -> list[int]:
    if year := parts.get("y"):
        return [int(year)] if FIRST_YEAR <= int(year) < LAST_YEAR else []
    if year := parts.get("yy"):
        return [2000 + int(year)]
    if not 0 <= near_ms < _END_MS:  # a producer may write any number into its record
        return []
    now = (_EPOCH + near_ms * _MS).year
    return [now, now - 1, now + 1]


def to_ms(moment: datetime) -> int:
    """Returns a moment in milliseconds since the epoch."""
    return (moment - _EPOCH) // _MS
