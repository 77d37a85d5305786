"""Records of real shippers, and malformed ones: each becomes a line, a blank or a dead letter."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from logwarden.daemon.decoding.decoder import FAULT, Decoded, Decoder
from tests.oracles import LogRecord, default_decoder

FILEBEAT = (
    rb'{"@timestamp":"2023-04-11T22:11:50.656Z","@metadata":{"beat":"filebeat","type":"_doc","version":"7.17.9"},'
    rb'"log":{"offset":0,"file":{"path":"/var/log/nginx/access.log"}},"message":"10.89.2.6 - - [11/Apr/2023:22:11:41 '
    rb'+0000] \"GET / HTTP/1.0\" 200 615 \"-\" \"curl/7.79.1\" \"-\"","tags":["nginx-access"],"input":{"type":'
    rb'"filestream"},"fields":{"doc":"app"},"ecs":{"version":"1.12.0"},"host":{"name":"053dd9dc5419"},"agent":{"name":'
    rb'"053dd9dc5419","type":"filebeat","version":"7.17.9","hostname":"053dd9dc5419"}}'
)
FLUENT_BIT = (
    rb'{"@timestamp":1554141513.698657,"log":"Simple text\n","stream":"stderr","kubernetes":{"pod_name":"api-0",'
    rb'"namespace_name":"shop","labels":{"app":"api"},"container_name":"text"}}'
)
VECTOR = (
    rb'{"file":"/var/log/pods/x/0.log","kubernetes":{"container_name":"log-spamer","pod_labels":{"app":"spamer"},'
    rb'"pod_name":"log-spamer-788b9ffbf5-nmz4m","pod_namespace":"vector"},"message":"{\"level\":\"info\",\"message\":'
    rb'\"3irb\"}","source_type":"kubernetes_logs","stream":"stderr","timestamp":"2022-11-01T12:03:31.766514243Z"}'
)
GENERIC = b'{"ts":"2024-02-29T12:00:00+02:00","msg":"payment refused","app":"shop","level":"error"}'


def decoded(*values: bytes | None, decoder: Decoder | None = None, key: bytes | None = None) -> Decoded:
    return (decoder or default_decoder()).decode([LogRecord(value, key=key) for value in values])


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.mark.parametrize(
    ("value", "line", "service", "time_ms"),
    [
        (
            FILEBEAT,
            "GET / status=200 client=10.89.2.6",
            "/var/log/nginx/access.log",
            ms("2023-04-11T22:11:50.656+00:00"),
        ),
        (FLUENT_BIT, "Simple text", "api", 1_554_141_513_698),
        (VECTOR, "INFO 3irb", "spamer", ms("2022-11-01T12:03:31.766+00:00")),
        (GENERIC, "ERROR payment refused", "shop", ms("2024-02-29T10:00:00+00:00")),
        (b"<34>Oct 11 22:14:15 host su: failed\n", "CRITICAL su: failed", "su", ms("2023-10-11T22:14:15+00:00")),
        (b"worker 4 has failed\n", "worker 4 has failed", "logs", 1_700_000_000_000),
    ],
    ids=["filebeat", "fluent-bit", "vector", "generic", "syslog", "plain"],
)
def test_each_shipper_is_understood(value: bytes, line: str, service: str, time_ms: int) -> None:
    """Text, service and time are found in each shipper's format without configuration."""
    found = decoded(value)
    assert found.lines == [line.encode()]
    assert found.services == [service]
    assert found.timestamps == [time_ms]
    assert (found.blank, found.dead, found.replaced, found.cut) == ([], [], 0, 0)


def test_a_key_with_dots_is_found_as_it_is_written() -> None:
    """Kubernetes labels contain dots; the longest key that matches wins."""
    value = {"log": "x", "kubernetes": {"labels": {"app.kubernetes.io/name": "web"}, "container_name": "c"}}
    flat = {"message": "x", "service.name": "flat", "service": {"name": "nested"}}
    nested = {"message": "x", "service.name": None, "service": {"name": "nested"}}
    found = decoded(*(json.dumps(event).encode() for event in (value, flat, nested)))
    assert found.services == ["web", "flat", "nested"]


@pytest.mark.parametrize(
    ("record", "service"),
    [
        (LogRecord(b'{"message":"x"}', key=b"from-key"), "from-key"),
        (LogRecord(b"plain", key=b" from-key "), "from-key"),
        (LogRecord(b"plain", key=b"caf\xe9"), "caf�"),
        (LogRecord(b"plain", key=b"  "), "logs"),
        (LogRecord(b"plain"), "logs"),
        (LogRecord(b'{"message":"x","service":""}'), "logs"),
        (LogRecord(b'{"message":"x","service":{"id":1}}', key=b"k"), "k"),
        (LogRecord(b'{"message":"x","service":17}'), "17"),
        (LogRecord(b'{"message":"x","service":true}'), "logs"),
    ],
)
def test_without_a_service_the_key_counts_and_then_the_topic(record: LogRecord, service: str) -> None:
    """Every line has a service: without a name in the record, its key, then its topic."""
    assert default_decoder().decode([record]).services == [service]


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (b'{"message" "x"}', "json"),
        (b'{"message": "he said" no}', "json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "json"),
        (b'{"a":' * 100_000, "json"),
        (b"[" * 100_000 + b'{"a":1}' + b"]" * 100_000, "json"),
        (b'{"message": ' + b"9" * 5000 + b"}", "json"),
        (b"{}", "text"),
        (b'{"message":null}', "text"),
        (b'{"message":null,"tags":[],"labels":{}}', "text"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_what_holds_no_line_is_a_dead_letter(value: bytes, stage: str) -> None:
    """A record that cannot be read becomes a dead letter with the reason; its neighbours are read."""
    found = decoded(b"before", value, b"after")
    assert found.lines == [b"before", b"after"]
    assert found.places == [0, 2]
    [(place, letter)] = found.dead
    assert (place, letter.stage, letter.record.value) == (1, stage, value)
    assert letter.reason
    assert "\n" not in letter.reason


@pytest.mark.parametrize("value", [b"{not json}", b"[1,2]", b'"text" and more', b"7", b"null", b"", b"  "])
def test_json_that_is_no_object_is_dead_only_where_json_is_promised(value: bytes) -> None:
    """A value that is no JSON object is plain text in `auto`, and a dead letter in `json`."""
    found = decoded(value)
    assert found.dead == []
    assert found.lines == ([value] if value.strip() else [])
    assert [letter.stage for _, letter in decoded(value, decoder=default_decoder(form="json")).dead] == ["json"]


@pytest.mark.parametrize("depth", [10, 400, 900, 990, 1000, 1100, 10_000])
def test_nesting_of_any_depth_is_a_line_or_a_dead_letter(depth: int) -> None:
    """Deeply nested brackets make a dead letter and do not stop the daemon."""
    found = decoded(b'{"message":' + b"[" * depth + b"]" * depth + b"}", b"after")
    assert len(found.lines) + len(found.dead) == 2
    assert found.lines[-1] == b"after"


def test_raw_is_never_looked_into() -> None:
    """A service that logs JSON can be judged by the JSON itself."""
    value = b'{"message":"x","service":"s"}'
    found = decoded(value, decoder=default_decoder(form="raw"))
    assert (found.lines, found.services) == ([value], ["logs"])


@pytest.mark.parametrize(
    "value", [None, b"", b" \t\r\n\0", b'{"message":""}', b'{"message":" \\n "}', b'{"message":"\\u0000"}']
)
def test_what_says_nothing_is_blank(value: bytes | None) -> None:
    """Tombstones, white space and NUL bytes are counted and done at once; they are neither lines nor errors."""
    found = decoded(b"x", value)
    assert (found.blank, found.lines, found.dead) == ([1], [b"x"], [])


def test_a_record_is_one_line() -> None:
    """A traceback in one record stays one line: its line breaks become spaces."""
    found = decoded(b"Traceback:\n  File x\nError\n", b'{"message":"a\\nb\\r\\nc"}')
    assert found.lines == [b"Traceback: File x Error", b"a b c"]


def test_text_that_is_no_string_is_a_line() -> None:
    """A structured message is still a line: an object by its own fields, a list as its words."""
    found = decoded(b'{"message":{"event":"login","ok":false}}', b'{"msg":[1,"a"]}', b'{"body":0}', b'{"log":false}')
    assert found.lines == [b"login ok=false", b"1 a", b"0", b"false"]


def test_bytes_that_are_no_text_are_replaced_and_counted() -> None:
    """Bytes of no charset become U+FFFD; UTF-8 is unchanged."""
    found = decoded(b"caf\xc3\xa9 \x80\x81\x82\x83", "café closed".encode(), b"\x80\x81\x82\x83")
    assert found.lines == ["café ����".encode(), "café closed".encode(), "����".encode()]
    assert found.replaced == 2


def test_a_line_of_ten_megabytes_is_cut_and_counted() -> None:
    """The limit on a line applies to plain text and to JSON, and a truncated line does not count as damaged."""
    for value in (b"x" * 10_000_000, b'{"message":"' + b"x" * 10_000_000 + b'"}'):
        found = decoded(value, decoder=default_decoder(max_line_chars=1000))
        assert found.lines == [b"x" * 999 + "…".encode()]
        assert (found.cut, found.replaced) == (1, 0)


@pytest.mark.parametrize("limit", range(2, 7))
def test_a_limit_counts_characters(limit: int) -> None:
    """A line of any script keeps the setting's number of characters, and a truncated one ends in an ellipsis."""
    found = decoded("aé中😀é中😀".encode(), decoder=default_decoder(max_line_chars=limit))
    assert found.lines[0].decode() == "aé中😀é中😀"[: limit - 1] + "…"
    assert (found.cut, found.replaced) == (1, 0)
    whole = decoded("aé中😀é中😀".encode(), decoder=default_decoder(max_line_chars=7))
    assert (whole.lines[0].decode(), whole.cut) == ("aé中😀é中😀", 0)


def test_bad_bytes_count_as_characters() -> None:
    """A line of bytes that are not UTF-8 keeps its limit when each of them becomes U+FFFD."""
    found = decoded(b"\x81" * 3000, decoder=default_decoder(max_line_chars=1000))
    assert found.lines[0].decode() == "�" * 999 + "…"
    assert (found.cut, found.replaced) == (1, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-04-11T22:11:50.656Z", 1_681_251_110_656),
        ("2023-04-11 22:11:50,656", 1_681_251_110_656),
        ("2023-04-12T00:11:50.656+02:00", 1_681_251_110_656),
        ("2022-11-01T12:03:31.766514243Z", 1_667_304_211_766),
        (1_681_251_110, 1_681_251_110_000),
        (1_681_251_110.656, 1_681_251_110_656),
        (1_681_251_110_656, 1_681_251_110_656),
        (1_681_251_110_656_123, 1_681_251_110_656),
        (1_681_251_110_656_123_999, 1_681_251_110_656),
        # Each unit has its range of numbers; these are the last one of a unit and the first one of the next.
        (10**10, 10**13),
        (10**10 + 1, 10**10 + 1),
        (10**13, 10**13),
        (10**13 + 1, 10**10),
        (10**16, 10**13),
        (10**16 + 1, 10**10),
        ("1681251110", 1_681_251_110_000),
        ("1681251110.656", 1_681_251_110_656),
        ("1712102400123", 1_712_102_400_123),  # read as YYYYMMDD it would be a day in 1712
        ("1704067200000000000", 1_704_067_200_000),
        ("20240229", 1_709_164_800_000),  # a date, not a second of 1970
    ],
)
def test_times_are_read_in_the_forms_that_shippers_use(value: object, expected: int) -> None:
    """Times are RFC 3339 with any zone, or s, ms, µs or ns since the epoch, as numbers or strings."""
    assert decoded(json.dumps({"message": "x", "time": value}).encode()).timestamps == [expected]


@pytest.mark.parametrize("value", ["yesterday", "", "1" * 400, -5, 0, True, None, {"a": 1}, [], 1e300, "٣", "1.2.3"])
def test_a_time_that_is_none_leaves_the_records_own(value: object) -> None:
    """A time that cannot be read is replaced by Kafka's timestamp."""
    assert decoded(json.dumps({"message": "x", "time": value}).encode()).timestamps == [1_700_000_000_000]


@pytest.mark.parametrize(
    ("value", "line", "service"),
    [
        (rb'{"message":"\ud800"}', "?", "logs"),
        (rb'{"message":"paid \ud83d","service":"shop"}', "paid ?", "shop"),
        (rb'{"message":"paid","service":"\uDE00shop","trace":"cut \ud83d"}', "paid", "?shop"),
        (rb'{"message":"paid \ud83d\ude00","trace":"cut \ud83d"}', "paid \N{GRINNING FACE}", "logs"),
    ],
)
def test_half_of_a_surrogate_pair_costs_its_character_only(value: bytes, line: str, service: str) -> None:
    """A shipper that truncates a text in the middle of an emoji writes half of it; the line is scored all the same."""
    found = decoded(value)
    assert (found.lines, found.services, found.dead) == ([line.encode()], [service], [])


def test_a_broken_value_with_half_of_a_pair_is_a_dead_letter() -> None:
    """What is no JSON for another reason stays unreadable."""
    found = decoded(rb'{"message":"paid \ud83d" x}', rb'{"message":"x \ud83d","n":-}')
    assert [letter.stage for _, letter in found.dead] == ["json", "json"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b'{"message":"cut in a te', "cut in a te"),
        (b'{"message":"cut in an escape \\', "cut in an escape"),
        (b'{"level":"error","message":"cut in a key","tra', "ERROR cut in a key"),
        (b'{"message":"cut after a colon","trace":', "cut after a colon"),
        (b'{"message":"cut in a word","ok":tr', "cut in a word"),
        (b'{"message":"cut in an object","a":{"b":[1,', "cut in an object"),
        (b'{"message":"no number","n":NaN,"m":1e999}', "no number"),
        (b'{"message":"a control\tcharacter"}', "a control\tcharacter"),
        (b"{'message': 'as Python prints it', 'ok': True, 'user': None}", "as Python prints it"),
        (b'{"message":"caf\xe9"}', "café"),
        (b'{"message":"a comma too many","list":[1,2,],}', "a comma too many"),
        (rb'{"message":"a path","file":"C:\Users\x"}', "a path"),
        (b'{"message": "he said "no" to it"}', 'he said "no" to it'),
        (b'{"message":"no value","x":undefined,"d":new Date(17)}', "no value"),
        (b"{message: 'bare keys', it: \"is\"}", "bare keys"),
        (b'{"message"=>"arrows", :level=>"warn"}', "WARNING arrows"),
        (rb"{\"message\":\"escaped twice\",\"n\":1}", "escaped twice"),
        (rb'"{\"message\":\"a string\"}"', "a string"),
        (b'"a string of JSON"', "a string of JSON"),
        (b'[{"message":"the only one"},]', "the only one"),
    ],
)
def test_almost_json_is_read(value: bytes, line: str) -> None:
    """What a producer, a truncation or another encoding broke is read as far as it is whole."""
    found = decoded(value)
    assert ([text.decode() for text in found.lines], found.dead) == ([line], [])


@pytest.mark.parametrize(
    "value",
    [
        *(b"{shard 0} ERROR disk failing", b"{}: empty reply", b"[main] ERROR x", b"[2026-11-23 10:00:00] WARN x"),
        *(b'["x"]', b'{"level":"info"} and words after it', b"{{template}} not rendered", b"{'a', 'b'} are missing"),
    ],
)
def test_text_that_begins_like_json_stays_a_line(value: bytes) -> None:
    """A brace or a bracket at its head makes no text JSON; lines with a brace are counted."""
    found = decoded(value)
    assert (found.lines, found.dead, found.services) == ([value], [], ["logs"])
    assert found.odd == value.startswith(b"{")


def test_a_fault_of_a_reader_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that ended at a record would end there again after each restart; the neighbours are read."""

    def fail(*_: object) -> None:
        raise TypeError("unhashable \ud800")

    monkeypatch.setattr("logwarden.daemon.decoding.xml_events.document_of", fail)
    found = default_decoder().decode([LogRecord(value) for value in (b"before", b"<Event><a/></Event>", b"after")])
    assert found.lines == [b"before", b"after"]
    [(place, letter)] = found.dead
    assert (place, letter.stage) == (1, FAULT)
    assert "TypeError" in letter.reason
    letter.reason.encode()


def test_records_that_were_rewritten_are_named() -> None:
    """An alert on such a line quotes its record; plain text, blanks, batches and broken records give no quotation."""
    batch = b'[{"message": "a"}, {"message": "b"}]'
    request = b'192.0.2.7 - - [23/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 502 157'
    values = (b"plain words", GENERIC, b"", batch, request, "Störung".encode(), b"{}", None, b'{"message": "words"}')
    found = decoded(*values)
    assert sorted(found.rewritten) == [1, 4, 8]
