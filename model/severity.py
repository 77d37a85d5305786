"""Reads how severe a log line calls itself: from the words and numbers of loggers, or from the head of a raw line.

Seven levels, 0 to 6. Pure; knows no record formats, only values of level fields and the text of a line.
"""

from __future__ import annotations

import re

NAMES = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")
"""Names of the levels, as the daemon writes them before the message of a structured record."""
TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL = range(7)

_WORDS: dict[int, str] = {
    TRACE: "trace trce trc finest finer verbose verb vrb silly 跟踪 трассировка traza 追踪 追蹤 トレース 추적",
    DEBUG: "debug debg dbug dbg fine debug1 debug2 debug3 debug4 debug5 调试 調試 デバッグ 디버그 отладка"
    " depuración depuração débogage débogue debugowanie ladění hata_ayıklama отладочное налагодження",
    INFO: "info inf information informational infos config log statement ok success 信息 資訊 情報 정보 инфо информация"
    " információ informação información información informazione bilgi معلومات सूचना"
    " informatie informacja informace információ bilgilendirme πληροφορία πληροφοριεσ інфо інформація מידע"
    " اطلاعات اطلاع जानकारी ข้อมูล thông_tin informasi maklumat informație informații informacija",
    NOTICE: "notice note ntc hint detail hinweis aviso avviso 注意 通知 お知らせ 알림 уведомление замечание"
    " уведомлення повідомлення ειδοποίηση הודעה ملاحظة bildirim upozornění",
    WARNING: "warning warn wrn warni wrng warnung achtung avertissement attention advertencia avvertenza avvertimento"
    " waarschuwing ostrzeżenie varování uyarı figyelmeztetés varning advarsel varoitus 警告 경고 предупреждение"
    " попередження تحذير אזהרה चेतावनी คำเตือน"
    " предупр تنبيه هشدار اخطار cảnh_báo peringatan amaran προειδοποίηση предупреждения figyelmeztetes"
    " upozorenje предупредење предупреждава avertizare advertență uwaga upozornenie opozorilo hoiatus"
    " brīdinājums įspėjimas 警報 주의",
    ERROR: "error err eror erro erreur fehler errore fout błąd chyba hata hiba fel feil fejl virhe severe failure"
    " fail 错误 錯誤 エラー 오류 에러 ошибка ошибки сбой помилка грешка σφάλμα خطأ שגיאה त्रुटि ข้อผิดพลาด lỗi kesalahan"
    " σφαλμα eroare greška napaka"
    " خطای خطا ralat viga kļūda klaida pogreška त्रुटी పొరపాటు பிழை ত্রুটি falla fallo falha",
    CRITICAL: "critical crit crt fatal ftl alert alrt emerg emergency panic dpanic kritisch critique crítico critico"
    " krytyczny kritik fatale fataal fatalny 严重 致命 重大 致命的 치명적 심각 критическая критический критично"
    " фатальная фатально حرج"
    " καίριο κρίσιμο критична критичний фатальна קריטי بحراني krytyczne kritična kritická kritikus"
    " kritiskt nghiêm_trọng kritis गंभीर วิกฤต 緊急 紧急 긴급",
}
_TONOS = str.maketrans("άέήίόύώ", "αεηιουω")
"""Greek capitals are written without accents."""
_OF_WORD = {
    written: level
    for level, words in _WORDS.items()
    for word in words.split()
    for written in (word.replace("_", " "), word.translate(_TONOS))
}
_DOT_ABOVE = "\u0307"
"""What lower case leaves of the Turkish capital I."""
_OF_LETTER = {
    "t": TRACE, "v": TRACE, "d": DEBUG, "i": INFO, "n": NOTICE, "w": WARNING, "e": ERROR, "c": CRITICAL, "f": CRITICAL,
    "a": CRITICAL, "s": ERROR,
}  # fmt: skip
_OF_SYSLOG = (CRITICAL, CRITICAL, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG)


def of_word(word: str) -> int | None:
    """Returns the level that a logger's word or letter names, in any case and in many languages; None for no level."""
    key = word.strip(" \t[]()<>:.,|*-").casefold().replace(_DOT_ABOVE, "")
    found = _OF_WORD.get(key)
    return _OF_LETTER.get(key) if found is None and len(key) == 1 else found


def of_syslog(number: int) -> int | None:
    """Returns the level of a severity of syslog (0 to 7), or of a whole PRI (facility * 8 + severity)."""
    return _OF_SYSLOG[number % 8] if 0 <= number <= 191 else None


def of_otel(number: int) -> int | None:
    """Returns the level of OpenTelemetry's SeverityNumber, 1 to 24."""
    return (TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL)[(number - 1) // 4] if 1 <= number <= 24 else None


def of_number(number: float) -> int | None:
    """Returns the level of a number in a logger's level field.

    Numbers up to 7 are syslog's, as GELF, journald and Winston write them. Larger ones are tens, as pino, bunyan,
    Serilog's sinks and Python write them: 10 trace or debug, 20 debug or info, 30 info or warning. The tens of pino
    are read, because Python's loggers write names. From 100 on they are Monolog's, and from 1,000 on Java's.
    """
    if number < 0:
        return None
    if number <= 7:
        return _OF_SYSLOG[int(number)]
    if number < 10:  # of a scale of ten, as security products have; which end is bad differs
        return None
    steps: tuple[tuple[float, int], ...]
    if number < 100:
        steps = ((15, TRACE), (25, DEBUG), (35, INFO), (45, WARNING), (55, ERROR), (100, CRITICAL))
    elif number < 600.5 and number % 50 == 0:
        steps = ((150, DEBUG), (225, INFO), (275, NOTICE), (350, WARNING), (450, ERROR), (601, CRITICAL))
    elif number <= 1000:
        steps = ((350, TRACE), (650, DEBUG), (850, INFO), (950, WARNING), (1001, ERROR))
    else:
        steps = ((10_001, TRACE), (20_001, INFO), (30_001, WARNING), (40_001, ERROR), (50_001, CRITICAL))
    return next((level for limit, level in steps if number < limit), None)


_HEAD_CHARS = 160
# A star is what masking leaves of the digits.
_KLOG = re.compile(r"([IWEFDV])(?:(?:\d{4}|\d{6}|\d{8}) \d\d:\d\d:\d\d|\*[ \]])|([DIWEF]), (?:\[\d{4}-\d\d-\d\d|\*)")
_PRI = re.compile(r"<(\d{1,3})>")
_DEVICE = re.compile(r"%[A-Z*][A-Z0-9_*]{1,30}-([0-7])-|%%[\d*]{1,2}[A-Z*][A-Z0-9_*]{1,30}/([0-7])/")
"""Facility and severity of a message of a network device, as ``%LINK-3-UPDOWN``."""
_LETTER = re.compile(
    r"[\d\]) ] +\(?\[?([TVDIWEFC])\]?\)?[ /:|]|^\[([TVDIWEFC])[ \]]|^([VDIWEF])/[\w.$]+ ?\(|\[([DIWEF])\]"
    r"|^([VDIWEN]): (?=\S)"
)
_FIELD = re.compile(
    r"""(?i)(?:^|[\s{,"'(\[])(?:level|lvl|log_?level|log\.level|severity|sev|priority|levelname)["']?\s*[=:]\s*["'\[]?(\w+)"""
)
_WORD, _ASCII_WORD = (
    "|".join(sorted((re.escape(w) for w in words if len(w) > 2 or not w.isascii()), key=len, reverse=True))
    for words in (_OF_WORD, [w for w in _OF_WORD if w.isascii()])
)
# In a head a level stands apart: in capitals, in brackets, or before a colon. Other words are text. Most heads are
# ASCII, and the short list of words takes half the time.
_APART, _APART_IN_ASCII = (
    re.compile(
        rf"(?i)[\[(<|]\s*(?:\w+[ .:/#])?({word})\s*[\])>|]"
        rf"|(?:^|[\s\]])({word})\s*[:\uff1a|](?!\s*(?:null|none|nil|false|0)\b)"
        rf"|-\s({word})\s-"
        rf"|^::({word})(?= |::)"
    )
    for word in (_WORD, _ASCII_WORD)
)
_CAPITALS = re.compile(rf"(?<![\w-])((?-i:{_WORD.upper()}|[A-Z][a-z]+(?=\s{{2,}})))(?![\w-])")
_ASCII_WORDS = frozenset(word.encode() for word in _OF_WORD if word.isascii())
_APART_BY_SPACES = bytes(ord(chr(c).lower()) if c < 128 and chr(c).isalnum() else 32 for c in range(256))
_NO_ASCII = re.compile(rf"({'|'.join(w for w in _OF_WORD if not w.isascii())})", re.IGNORECASE)


def of_line(text: str) -> int | None:
    """Returns the level that a raw line states at its head or in a level field; None where it states none."""
    head = text[:_HEAD_CHARS]
    if "\u0130" in head:  # the Turkish capital of i
        head = head.replace("\u0130", "I")
    if found := _KLOG.match(head):
        return of_word(found[1] or found[2])
    field = _FIELD.search(text[:1024])
    if field:
        value = field[1]
        level = of_number(int(value)) if value.isdecimal() and len(value) < 6 else of_word(value)
        if level is not None:
            return level
    candidates = []
    for pattern in _patterns(head):
        if found := pattern.search(head):
            word = next(group for group in found.groups() if group)
            level = of_word(word)
            if level is not None:
                candidates.append((found.start(), level))
    if candidates:
        return min(candidates)[1]
    if found := _PRI.match(head) or ("%" in head and _DEVICE.search(head)) or None:
        return of_syslog(int(next(group for group in found.groups() if group)))
    if found := _LETTER.search(head[:60]):
        return of_word(next(group for group in found.groups() if group))
    return None


def _patterns(head: str) -> tuple[re.Pattern[str], ...]:
    """Returns the patterns that can find a level's word in a head."""
    if not head.isascii():
        return (_APART, _CAPITALS, _NO_ASCII)
    # All of them find whole runs of letters and digits. Most heads hold no such word, and a set knows so at once.
    is_without = _ASCII_WORDS.isdisjoint(head.encode().translate(_APART_BY_SPACES).split())
    return () if is_without else (_APART_IN_ASCII, _CAPITALS)
