"""Masking of phrases whose form tells what varies: pairs of addresses, owners, fields in braces, frames of stacks."""

from __future__ import annotations

import time

import pytest

from logwarden.model.masking import MAX_CANONICAL_CHARS, canonical, mask_blob, mask_line, mask_reference

TOGETHER = [
    # hexadecimal numbers in pairs, whatever they begin with
    ("replayed up to 0/4A01B20 now", "replayed up to 0/F401320 now"),
    ("replayed up to 0/4A01B20 now", "replayed up to 2F/DC04712 now"),
    ("replayed up to 0/4A01B20 now", "replayed up to C/B0440000 now"),
    ("replayed up to 0/4A01B20 now", "replayed up to E/1F02B30 now"),
    ("torn page at 0/4A01B20: wanted 8", "torn page at 0/FD01320: wanted 8"),
    ("lsn:0/4A01B20 sent", "lsn:0/BD01320 sent"),
    ("stopped at 0/4A01B20.", "stopped at 0/BC01320."),
    # the user of an access log
    (
        '10.1.1.9 - kim [24/Oct/2026:08:00:00 +0100] "GET /cart HTTP/1.1" 200 8',
        '10.1.1.9 - - [25/Oct/2026:09:00:00 +0100] "GET /desk HTTP/1.1" 200 9',
    ),
    (
        '10.1.1.9 - kim@shop.example [24/Oct/2026:08:00:00 -0700] "GET /cart HTTP/1.1" 200 8 "-" "Lynx/2.9"',
        '10.1.1.9 - SHOP\\sam [24/Oct/2026:08:00:00 -0700] "GET /cart HTTP/1.1" 200 8 "-" "Lynx/2.9"',
    ),
    # owners in brackets, and before an address
    ("locked out user [kim] again", "locked out user [sam.lee] again"),
    ("Login of account: [kim] begins", "Login of account: [root] begins"),
    ("quota of users [kim, sam] read", "quota of users [root] read"),
    ("refused: invalid user kim [early]", "refused: invalid user user [early]"),
    ("stock/kim@10.0.0.1:4411 query", "basket/sam@10.0.0.2:511 query"),
    ("stock/kim@10.0.0.1:4411 query", "basket/sam@[2001:db8::8]:511 query"),
    ("stock/kim@db1:4411 query", "basket/sam@unix(511):6432 query"),
    ("kim@[unknown]/worker LOG: up", "sam@stock/psql LOG: up"),
    # what was given to a parser, and what a sentence names before a colon
    ('cannot parse input string: "seven"', 'cannot parse input string: "8O"'),
    ('cannot parse input string: "null"', 'cannot parse input string: ""'),
    ('wrong type integer: "abc", ignored', 'wrong type integer: "xyz", ignored'),
    ('cleaned index "orders_key": 3 pages', 'cleaned index "carts_pkey": 12 pages'),
    # pairs
    ("read {key:cart/kim/7; size:44; }", "read {key:probe; size:9; }"),
    ("saw &{host:db1 tries:3}", "saw &{host:cache tries:4}"),
    ("closed user=kim schema= host=10.0.0.1 port=8", "closed user=sam schema=stock host=10.0.0.2 port=9"),
    ("closed user=kim schema= role= port=8", "closed user=sam schema=stock role=owner port=9"),
    ("Waiting on queue: 8.", "Waiting on queue: 8, 12, 4."),
    ("report created by kim.lee", "report created by sam.day"),
    # frames
    ("\tshop.example/cart/store/save.go:33 +0x1d", "\tshop.example/cart/store/save.go:41 +0x6b1"),
    ("\t/build/7/cart/save.go:33 +0x1d", "\t/src/cart/save.go:41 +0x6b1"),
]  # fmt: skip

APART = [
    # codes and words beside numbers
    ("port 1/E404: lost", "port 1/E401: lost"),
    ("unit A/7 lost", "unit B/7 lost"),
    ("disk 0/SDA4 lost", "disk 0/SDB4 lost"),
    ("class FACADE/2 lost", "class DECADE/2 lost"),
    # an access log keeps its status, method, and words that are no user
    (
        '10.1.1.9 - kim [24/Oct/2026:08:00:00 +0100] "GET /cart HTTP/1.1" 200 8',
        '10.1.1.9 - kim [24/Oct/2026:08:00:00 +0100] "GET /cart HTTP/1.1" 401 8',
    ),
    (
        '10.1.1.9 - kim [24/Oct/2026:08:00:00 +0100] "GET /cart HTTP/1.1" 200 8',
        '10.1.1.9 - kim [24/Oct/2026:08:00:00 +0100] "DELETE /cart HTTP/1.1" 200 8',
    ),
    ("cart - WARN [24/Oct/2026:08:00:00 +0100] slow", "cart - FATAL [24/Oct/2026:08:00:00 +0100] slow"),
    # states in brackets, quotes and braces
    ("account [locked] at login", "account [disabled] at login"),
    ("user [null] not found", "user [kim] not found"),
    ('job status "failed" today', 'job status "done" today'),
    ("job status 'failed' today", "job status 'done' today"),
    ('job status: "failed"', 'job status: "done"'),
    ('link "down": eth trouble', 'link "up": eth trouble'),
    ('reported state "Draining": node', 'reported state "Bound": node'),
    ('{"job": 7, "status": "failed"}', '{"job": 7, "status": "done"}'),
    ('status string: "timeout"', 'status string: "accepted"'),
    ("saw {host:down; }", "saw {host:up; }"),
    ("saw {status:failed; key:a}", "saw {status:done; key:a}"),
    # pairs without a value
    ("dial failed: host= port=8", "dial failed: host=db1 port=8"),
    ("user=kim reason= port=8", "user=kim reason=quota port=8"),
    ("job=7 status= result= port=8", "job=7 status=lost result=none port=8"),
    # an address, its user and what is said of them
    ("stock/kim@10.0.0.1:4411 refused", "stock/kim@10.0.0.1:4411 accepted"),
    ("pulled stock/cart@sha256:9f86d081884c7d65", "pulled basket/cart@sha256:9f86d081884c7d65"),
    # frames and operations
    ("at shop.base/a.b.Cart.read(Cart.java:3)", "at shop.base/a.b.Cart.save(Cart.java:3)"),
    ("at shop.base@1.2/a.b.Cart.read(Native Method)", "at shop.base@1.2/a.b.Cart.save(Native Method)"),
    ("called /shop.cart.v1.Cart/Add twice", "called /shop.cart.v1.Cart/Drop twice"),
    ('{"type":"/shop.Cart/Add"}', '{"type":"/shop.Stock/Add"}'),
    ("\tshop.example/cart/save.go:33 +0x1d", "\tshop.example/cart/load.go:33 +0x1d"),
    ("\t/src/cart/save.go:33 +0x1d", "\t/src/cart/load.go:33 +0x1d"),
    ("shop.example/cart/store.(*Db).Save(0x1d)", "shop.example/cart/store.(*Db).Load(0x1d)"),
    ("shop.example/cart/store.(*Db).Save(0x1d)", "shop.example/cart/cache.(*Db).Save(0x1d)"),
    ("shop.example/cart/store.Save(0x1d)", "shop.example/cart/store.Load(0x1d)"),
    ("created by shop.example/cart/store.Save", "created by shop.example/cart/store.Load"),
    ("created by shop.example/cart/store.(*Db).Save", "created by shop.example/cart/store.(*Db).Load"),
    ("created by main.save in goroutine 8", "created by main.load in goroutine 8"),
]  # fmt: skip

PATHS = ["/opt/shop.d/Readme", "/srv/shop.Cart/add", "src/cart/save.ts(12,5)", "/srv/a.Cart/B/c"]
HOSTILE = [
    *("0/A", "A/", "user [a", "a/b@", "a@[", "{a:", "{a:b;", "a=1 b= ", "=a b= c= ", 'word: "a', 'a "b":', "a/b.go:"),
    *("/a.B/", "/a.a", "- a [*/Nov/", "a.b/c(", "created by a.io/", "queue: a.", "[unknown]@[", 'status "'),
]


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_the_varying_part_of_a_form_makes_no_other_kind(one: str, other: str) -> None:
    """Addresses, people, given texts and sizes of lists vary from line to line of one statement."""
    assert mask_line(one) == mask_line(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_the_telling_part_of_a_form_stays(one: str, other: str) -> None:
    """Codes, states, operations, functions and files of one's own code are what an engineer looks for."""
    assert mask_line(one) != mask_line(other)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_looks_like_an_operation_or_a_frame_is_a_path(path: str) -> None:
    """Files whose folders have dots and whose names begin with a capital are files."""
    assert mask_line(f"cannot open {path} now").startswith("cannot open path")


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_forms_cost_little(unit: str) -> None:
    """A megabyte of the beginnings of a form costs milliseconds to mask and ends as a short text."""
    for length in (4_000, 1_000_000):
        key = mask_blob((unit * length)[:length].encode() + b"\n")[0]
        started = time.thread_time()
        assert len(canonical(key)) <= MAX_CANONICAL_CHARS
        assert time.thread_time() - started < 0.2


def test_forms_are_masked_alike_in_a_batch() -> None:
    """The fast masking of many lines of these forms is the slow one of each."""
    lines = [line.encode() for pair in TOGETHER + APART for line in pair]
    assert mask_blob(b"\n".join(lines) + b"\n") == [mask_reference(line) for line in lines]
