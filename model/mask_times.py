"""Rules for dates and times in the languages and zones of many places. Numbers are stars by the time they"
" are applied.

A month or a weekday is only one beside numbers: at the head of a line, between two numbers, or before a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_MONTHS = (
    "jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august"
    " september october"
    " november december"
    # German, Dutch, the languages of Scandinavia
    " jän januar jänner februar märz mär mrz mai juni juli okt oktober dez dezember mei mrt maart augustus"
    " januari februari"
    " marts maj desember des syys loka marras joulu tammi helmi maalis huhti touko kesä heinä elo"
    # French, Spanish, Portuguese, Italian, Romanian
    " janv janvier fév févr février mars avr avril juin juil juillet août sept septembre octobre novembre déc"
    " décembre"
    " ene enero febrero marzo abr abril mayo junio julio ago agosto septiembre octubre noviembre dic diciembre fev"
    " fevereiro março maio junho julho set setembro out outubro novembro dezembro gen gennaio febbraio aprile"
    " mag maggio"
    " giu giugno lug luglio settembre ott ottobre dicembre"
    # Polish, Czech, Hungarian, Turkish
    " sty stycznia lut lutego marca kwi kwietnia maja cze czerwca lip lipca sie sierpnia wrz września paź"
    " października lis"
    " listopada gru grudnia led února bře března dub dubna kvě května čvn června čvc července srp srpna zář"
    " září říj října"
    " listopadu pro prosince ocak oca şubat şub mart nisan nis mayıs haziran haz temmuz tem ağustos ağu eylül"
    " eyl ekim eki"
    " kasım kas aralık ara"
    # Russian, Ukrainian, Greek
    " янв января фев февраля мар марта апр апреля мая май июн июня июл июля авг августа сен сентября окт"
    " октября ноя нояб"
    " ноября дек декабря січ лют бер кві тра чер лип сер вер жов лис гру ιαν φεβ μαρ απρ μαϊ ιουν ιουλ αυγ"
    " σεπ οκτ νοε δεκ"
    # Hungarian, Arabic
    " január február március április május június július augusztus szeptember október"
    " يناير فبراير مارس أبريل ابريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر"
)
_MONTHS_ELSEWHERE = (
    # Greek, Ukrainian, Bulgarian, Croatian, Romanian, Indonesian, Vietnamese
    " ιανουαρίου φεβρουαρίου μαρτίου απριλίου μαΐου ιουνίου ιουλίου αυγούστου σεπτεμβρίου οκτωβρίου νοεμβρίου"
    " δεκεμβρίου січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня януари"
    " февруари април юни юли август септември октомври ноември декември siječnja veljače ožujka travnja svibnja"
    " lipnja srpnja kolovoza rujna listopada studenoga studenog prosinca ianuarie februarie martie aprilie iunie"
    " iulie noiembrie decembrie ianuar agustus nopember desember tháng"
    # Hebrew, Persian, Hindi, Thai
    " בינואר בפברואר במרץ באפריל במאי ביוני ביולי באוגוסט בספטמבר באוקטובר בנובמבר בדצמבר ינואר פברואר מרץ אפריל"
    " מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר فروردین اردیبهشت خرداد تیر مرداد شهریور مهر آبان آذر دی بهمن"
    " اسفند ژانویه فوریه ژوئن ژوئیه اوت سپتامبر اکتبر نوامبر دسامبر जनवरी फ़रवरी फरवरी मार्च अप्रैल मई जून जुलाई अगस्त"
    " सितंबर सितम्बर अक्टूबर अक्तूबर नवंबर नवम्बर दिसंबर दिसम्बर ม.ค. ก.พ. มี.ค. เม.ย. พ.ค. มิ.ย. ก.ค. ส.ค. ก.ย."
    " ต.ค. พ.ย. ธ.ค. มกราคม กุมภาพันธ์ มีนาคม เมษายน พฤษภาคม มิถุนายน กรกฎาคม สิงหาคม กันยายน ตุลาคม พฤศจิกายน ธันวาคม"
)
_ENDED_MONTHS = (
    *("tammiku", "helmiku", "maalisku", "huhtiku", "toukoku", "kesäku", "heinäku", "eloku", "syysku", "lokaku"),
    *("marrasku", "jouluku"),
)
"""Months of Finnish, whose ends change."""
_WEEKDAYS = (
    "mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday tues thur thurs"
    " mo di mi do fr sa so montag dienstag mittwoch donnerstag freitag samstag sonntag lun mar mer jeu ven"
    " sam dim lundi"
    " mardi mercredi jeudi vendredi samedi dimanche mié jue vie sáb dom seg ter qua qui sex gio ma wo vr za"
    " zo pon wt śr"
    " czw pt sob niedz пн вт ср чт пт сб вс пон втр сре чет пят суб вос pzt sal çar per cum cmt paz"
)
_NAMED_ZONES = r"Z|UTC|GMT|MSK|MSD|WIB|WITA|WIT|UCT|HST|ChST|UT"
_ZONE = (
    rf"(?:\[[A-Z][A-Za-z]+/[A-Za-z_/]{{2,30}}\]|[A-Z][a-z]+/[A-Z][A-Za-z_]{{2,30}}"
    rf"|(?:{_NAMED_ZONES}|(?!(?:GET|PUT|POST|ALERT|NOT|TEST|START|EXIT|EVENT|ROOT|HOST|DRAFT|AUDIT)\b)[A-Z]{{1,4}}T)"
    rf"(?:[+-]\*(?::\*)?)?(?![\w*])"
    r"|[+-]\*(?::\*)?(?![\w*]))"
)


_CAPITAL_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)"
_CAPITAL_WEEKDAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"

_HEAD = re.compile(r"([\[(<]?)(?:([^\W\d_]{1,12})\.?,? +)?(?:([^\W\d_]{3,12})\.? +)?(?=\*)")
_KNOWN_MONTHS, _KNOWN_WEEKDAYS = frozenset((_MONTHS + _MONTHS_ELSEWHERE).split()), frozenset(_WEEKDAYS.split())


def without_month_at_head(text: str) -> str:
    """Returns the text without a weekday and a month before the first number at its head, in any language"
    " known here."""
    found = _HEAD.match(text)
    if not found or not (found[2] or found[3]):
        return text
    first, second = (word.lower() if word else "" for word in (found[2], found[3]))
    if second and (first not in _KNOWN_WEEKDAYS or second not in _KNOWN_MONTHS):
        return text
    if first not in _KNOWN_WEEKDAYS and first not in _KNOWN_MONTHS:
        return text
    return found[1] + text[found.end() :]


def _month(found: re.Match[str]) -> str:
    word = found[1].lower()
    is_month = word in _KNOWN_MONTHS or word.rstrip(".") in _KNOWN_MONTHS or word.startswith(_ENDED_MONTHS)
    return " *" if is_month else found[0]


TIME_RULES: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    ("*", re.compile(rf"\b{_CAPITAL_WEEKDAY}\b[ ,]*(?={_CAPITAL_MONTH}[a-z]*\b|\*)"), ""),
    ("*", re.compile(rf"\b{_CAPITAL_MONTH}[a-z]*\b(?=[ ,/*:.-]*\*)|(?<=\*/){_CAPITAL_MONTH}(?=/\*)"), "*"),
    # In other languages only between two numbers, or at the head of the line.
    (
        "*",
        re.compile(
            r"(?<=\*)(?:\.?[ /-]|[./-])(?:de )?([^\s\d*,/;:()\[\]{}\"'=<>|_-]{2,14})(?: de(?= \*)|(?=[ ,./-]{1,2}\*))"
        ),
        _month,
    ),
    ("*", re.compile(r"(?:令和|平成|昭和|民國|民国|佛曆|단기|พ\.ศ\. ?)(?=\*)"), ""),
    ("*", re.compile(r"(?<=\*)(?:秒|초)(?=[\s\])|,]|$)"), ""),
    ("(", re.compile(r"(?<=[*日일]) ?\([月火水木金土日월화수목금토일]\)(?= ?\*)"), ""),
    ("*", re.compile(r"(?<=\*)[年月日時时分秒点년월일시분초]"), ":"),
    ("*:", re.compile(r"(?<=:\*)([.,]\*)? ?(?:[AaPp]\.?[Mm]\b\.?|上午|下午|午前|午後|오전|오후)"), ""),
    ("*:", re.compile(rf"(?<=:\*)([.,]\*)? ?{_ZONE}"), ""),
    ("*:", re.compile(r"(?<=:\*)([.,]\*)? ?\((?:[A-Z]{3,5}|[A-Z][a-z]+(?: [A-Z][a-z]+){1,4} Time)\)"), ""),
    ("*", re.compile(r"(?:(?:星期|周)[一二三四五六日天]|[月火水木金土日]曜日|[월화수목금토일]요일) ?(?=\*)"), ""),
    ("*:", re.compile(r"(?:上午|下午|午前|午後|오전|오후) ?(?=\*:)"), ""),
    ("*", re.compile(rf"(?<=\*) {_CAPITAL_WEEKDAY}\b,?(?= \*)"), ""),
)
