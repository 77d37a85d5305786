"""Masking by kind: pairs of lines that are one kind to whoever is called at night, and pairs that never are."""

from __future__ import annotations

import random
import string
import time

import pytest

from logwarden.model.masking import MAX_CANONICAL_CHARS, canonical, mask_blob, mask_line

STATUSES_APART = [
    ('10.1.1.9 - - [24/Oct/2026:08:00:00 +0100] "PUT /cart HTTP/2.0" 201 8 "-" "Lynx/2.9"', "201", "502"),
    ("10.1.1.9 PUT /cart 201 8 ms", "201", "502"),
    ("[api] | 201 | 8ms | 10.1.1.9 | PUT /cart", "201", "502"),
    ("--> PUT /cart/7 201 8ms 3b", "201", "502"),
    ("Completed 200 OK in 31ms", "200 OK", "500 Internal Server Error"),
    ("HTTP/2 201 for cart", "201", "502"),
    ("1792829.101   87 10.1.1.9 TCP_MISS/201 611 GET http://a.example/b - DIRECT/10.2.2.2", "201", "502"),
    ('10.1.1.9:44 [24/Oct/2026:08:00:00.1] web web/s1 0/0/1/7/8 201 611 - - ---- 0/0 "GET /c HTTP/1.1"', "201", "502"),
    ("2026-10-24 08:00:00 10.2.2.2 GET /cart q=1 443 - 10.1.1.9 Lynx/2.9 201 0 0 15", "201", "502"),
    ("2026-10-24\t08:00:00\tLHR3\t611\t10.1.1.9\tGET\td1.example.net\t/cart\t201\t-", "201", "502"),
    ('10.1.1.9 "GET /cart HTTP/1.1" from 10.3.3.3:881 - 201 12B in 8ms', "201", "502"),
    ("[8123]: 10.1.1.9:4411 [201]: GET /cart", "201", "502"),
    ("GET /cart => generated 12 bytes in 3 msecs (HTTP/1.1 201) 2 headers", "201", "502"),
    ("PUT /cart -> 201", "201", "502"),
    ('{"method": "PUT", "status": 201, "ms": 8}', "201", "502"),
    ("http.status_code=201 took=8ms", "201", "502"),
    ("upstream_status: 201", "201", "502"),
    ("upstream responded with 201", "201", "502"),
    ("share of 2xx above limit", "2xx", "5xx"),
]

APART = [
    ("rpc failed, code: 13", "rpc failed, code: 14"),
    ("grpc-status: 0 took 4 ms", "grpc-status: 14 took 4 ms"),
    ("rpc error: code = Unavailable", "rpc error: code = DeadlineExceeded"),
    ("worker exit code 0", "worker exit code 137"),
    ("child exited with 1 after 3 s", "child exited with 139 after 3 s"),
    ("container exited (0)", "container exited (137)"),
    ("received signal 15", "received signal 11"),
    ("write failed: errno 28", "write failed: errno 5"),
    ("open failed (2: No such file)", "open failed (13: No such file)"),
    ("[Errno 32] peer", "[Errno 104] peer"),
    ("TNS-12541: failed", "TNS-12514: failed"),
    ("AADSTS50058: sign-in", "AADSTS70011: sign-in"),
    ("error CS0103: name", "error CS0246: name"),
    ("TS-999: bad order", "TS-404: bad order"),
    ("error[E0382]: borrow", "error[E0499]: borrow"),
    ("ANR2034E command", "ANR0403I command"),
    ("SQLSTATE 53300", "SQLSTATE 40001"),
    ("ERROR 1045 (28000): denied", "ERROR 2002 (28000): denied"),
    ("Event ID: 4624", "Event ID: 4625"),
    ("mail refused: 550 5.7.1 no", "mail refused: 550 5.1.1 no"),
    ("to=<a@b.example>, dsn=2.0.0", "to=<a@b.example>, dsn=5.7.1"),
    ("421 4.3.2 closing", "221 2.0.0 closing"),
    ("update HRESULT 0x80070005", "update HRESULT 0x8024402c"),
    ("crash 0xC0000005 in core", "crash 0xC00000FD in core"),
    ("call returned rc=0", "call returned rc=-5"),
    ("bind: err=49", "bind: err=0"),
    ("sync finished, result=0", "sync finished, result=-2"),
    ("poll returned -1", "poll returned 0"),
    ("websocket closed 1000", "websocket closed 1006"),
    ("<3>disk", "<6>disk"),
    ("E1024 08:00:00.1 7 a.go:3] sync", "I1024 08:00:00.1 7 a.go:3] sync"),
    ('{"level":30,"msg":"saved"}', '{"level":50,"msg":"saved"}'),
    ("batch-12-done", "batch-12-aborted"),
    ("user_7_locked", "user_7_created"),
    ("run 8f14e45fceea167a5a36dedd4bea2543-failed", "run 8f14e45fceea167a5a36dedd4bea2543-passed"),
    ("SQS unreachable", "S3 unreachable"),
    ("resolver for IPv4 lost", "resolver for IPv6 lost"),
    ("SELECT a FROM orders WHERE id = 7", "DROP TABLE orders"),
    ("DELETE FROM orders WHERE id = 7", "SELECT * FROM orders WHERE id = 7"),
    ('msg="no space left on device"', 'msg="request served"'),
    ("reason: 'connection refused by peer'", "reason: 'certificate has expired'"),
    ("open /etc/app/a.conf: permission denied", "open /etc/app/a.conf: no such file"),
    ("state changed from up to down", "state changed from down to up"),
    ("result=success user=kim", "result=failure user=kim"),
    ("link eth0 is up", "link eth0 is down"),
    ("level=info done", "level=error done"),
    # codes of other languages, devices and runtimes
    ("错误代码: 28", "错误代码: 13"), ("状态码\uff1a500", "状态码\uff1a200"), ("код ошибки 28", "код ошибки 13"),
    ("статус 500", "статус 200"), ("終了コード 137", "終了コード 0"), ("종료 코드: 137", "종료 코드: 0"),
    ("código de saída 137", "código de saída 0"), ("kod błędu 28", "kod błędu 13"), ("رمز الخطأ 28", "رمز الخطأ 13"),
    ("Fehler 1067: Dienst", "Fehler 1053: Dienst"), ("code d'erreur 28", "code d'erreur 13"),
    ("%LINK-3-UPDOWN: changed", "%LINK-5-UPDOWN: changed"), ("%ASA-4-106023: Deny", "%ASA-4-106100: Deny"),
    ("exited with code -1073741819", "exited with code -1073741571"), ("ata1: error: 0x40", "ata1: error: 0x04"),
    ("registry: code E404", "registry: code E401"), ("Msg 1205, Level 13, State 5", "Msg 823, Level 24, State 2"),
    ("session[failed] x", "session[active] x"), ("open «ошибка диска» now", "open «нет доступа к файлу» now"),
]  # fmt: skip

TOGETHER = [
    # identifiers
    ("got 01ARZ3NDEKTSV4RRFFQ69G5FAV now", "got 01BX5ZZKBKACTAV9WEVGEMMVRZ now"),
    ("job V1StGXR8_Z5jdHi6B-myT done", "job 3fQ-kPzW8xLmB_vRt6aYc done"),
    ("blob aGVsbG8gd29ybGQhIQ== read", "blob Zm9vYmFyYmF6cXV4MTIz read"),
    ("key SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDcg4x5f9L8jw2qQz", "key SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY"),
    ("trace 550e8400-e29b-41d4-a716-446655440000 sent", "trace 550e8400-ffba-41d4-dbec-446655440000 sent"),
    ("[req-550e8400-e29b-41d4-a716-446655440000] in", "[req-cafedccd-e29b-41d4-a716-446655440000] in"),
    ("* 352 INFO wsgi GET /cart", "* 348 INFO wsgi GET /cart"),
    ("trace 550e8400-e29b-41d4-a716-446655440000 sent", "trace 6ba7b810-9dad-11d1-80b4-00c04fd430c8 sent"),
    ("station 00-1A-2B-3C-4D-5E left", "station fe-ed-fa-ce-be-ef left"),
    ("station 001a.2b3c.4d5e left", "station dead.be3f.cafe left"),
    ("peer fe80::1ff:fe23:4567:890a lost", "peer 2001:db8::ff00:42:8329 lost"),
    ("pod cart-6d4cf56db6-zx8kq up", "pod cart-79bf9d7f5c-qtnwd up"),
    ("image sha256:9f86d081884c7d659a2feaa0c55ad015 pulled", "image sha256:60303ae22b998861bce3b28f33eec1be pulled"),
    ("etag W/\"5d8c72a5edda8\" kept", "etag W/\"1a2b3c4d5e6f7\" kept"),
    ("00000010  de ad be ef 00 12 a3 ff 01 02 ca fe 11 22 33 44  |................|",
     "00000020  48 65 6c 6c 6f 20 77 6f 72 6c 64 21 0a 00 00 aa  |Hello world!....|"),
    ("charge ch_3MqLiJLkdIwHu7ix0snN00qE paid", "charge ch_1NirD82eZvKYlo2CIvbtLWuY paid"),
    ("queued as EAEC041802", "queued as 6B97E618FF"), ("blob /g25K+7Mt4Ea5m== read", "blob Ab/cK9MtZ4Ea5mQ== read"),
    # quotes of other languages, values in brackets, dumps
    ("User «kim» in", "User «sam» in"), ("User „kim“ in", "User „sam“ in"), ("User “kim” in", "User “sam” in"),
    ("用户「安娜」登录", "用户「鲍勃」登录"), ("session[kim] closed", "session[sam] closed"),
    ("user<kim> in", "user<sam> in"),
    ("msg='op=login acct=\"kim\" res=ok'", "msg='op=login acct=\"sam\" res=ok'"),
    (r"bytes \x00\xff\x1f", r"bytes \xde\xad\x10"), ("frame [48,65,6c,6c]", "frame [de,ad,00,ff]"),
    ("0000: 48 65 6c 6c 6f 20 77 6f  Hello wo", "0010: de ad be ef 00 11 22 33  ......\"3"),
    # quotes and statements
    ("SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (4)"),
    ("INSERT INTO t (a) VALUES ('x'), ('y''z')", "INSERT INTO t (a) VALUES ('only')"),
    ("SELECT a FROM t WHERE n = 'O''Hara, Sam'   AND m = 3", "SELECT a FROM t WHERE n = 'Li' AND m = 12"),
    ('index "orders_idx" rebuilt', 'index "carts_pkey" rebuilt'),
    ("topic 'basket' created", "topic 'orders' created"),
    # keys and values
    ("login ok user=kim ip=10.0.0.1", "login ok user=sam ip=10.0.0.2"),
    ('{"event":"login","user":"kim","ok":true}', '{"event":"login","user":"sam","ok":true}'),
    ("served customerId=ab tenant=north", "served customerId=xy tenant=south"),
    ("act=blocked suser=kim fname=a.doc", "act=blocked suser=sam fname=b.doc"),
    # paths, addresses, names
    ("open /var failed", "open /srv/a/b failed"), ("open ~/x failed", "open ~/y/z failed"),
    ("open C:/a/b x", "open D:/c x"),
    (r"key HKLM\A\B missing", r"key HKCU\C missing"), (r"SHOP\kim logged on", r"SHOP\sam logged on"),
    ("fetch s3://a/b1 slow", "fetch s3://c/d2/e slow"),
    ("image hub.example.com/a/b:1.2 up", "image hub.example.org/c:3 up"),
    ("dial 10.0.0.1:5432: refused", "dial [::1]:5432: refused"), ("lost [10.0.0.1, 10.0.0.2]", "lost [10.0.0.3]"),
    ("login failed for kim", "login failed for sam"), ("placed by customer Kim", "placed by customer Sam"),
    ("Benutzer kim angemeldet", "Benutzer sam angemeldet"), ("用户 kim 登录成功", "用户 sam 登录成功"),
    (r"saved C:\Users\kim\My Documents\a.txt", r"saved D:\Data\b.bin"),
    (r"mounted \\files\share\kim", r"mounted \\backup\home\sam\x"),
    ("open /srv/a/b.txt", "open /var/lib/x/y/z"),
    ("load src/main/app.conf ok", "load etc/b.conf ok"),
    ("fetch https://a.example/x?y=1&z=2 slow", "fetch http://b.example:81/q slow"),
    ("mail to kim@shop.example sent", "mail to sam.lee+x@mail.example.org sent"),
    ("resolve db1.eu.shop.example failed", "resolve www.other.org failed"),
    ("uploaded report-final.pdf by kim", "uploaded holiday.pdf by sam"),
    ("Accepted publickey for kim from 10.0.0.1 port 22", "Accepted publickey for sam from 10.0.0.2 port 999"),
    ("Invalid user kim from 10.0.0.1", "Invalid user admin from 10.0.0.9"),
    ("CRON[7]: (kim) CMD (/usr/bin/a)", "CRON[8]: (root) CMD (/usr/bin/b)"),
    ("sudo: kim : TTY=pts/0 ; PWD=/srv/kim ; USER=root", "sudo: sam : TTY=pts/3 ; PWD=/srv/sam ; USER=root"),
    # amounts, lists, threads
    ("耗时 12 毫秒", "耗时 3 秒"), ("заняло 12 мс", "заняло 3 сек"), ("price 12.50 EUR", "price $7.00"),
    ("83% used", "7.5 % used"),
    ("sent 12.5MB in 3m2s", "sent 800KB in 250ms"),
    ("took PT3.5S", "took PT12S"),
    ("disk 91% of 2 TiB", "disk 7% of 512 GiB"),
    ("waited 1 second", "waited 30 seconds"),
    ("lost 10.0.0.1, 10.0.0.2, 10.0.0.3", "lost 10.0.0.1"),
    ("[http-exec-5] ok", "[http-exec-12] ok"),
    ("pool-3-thread-12 idle", "pool-1-thread-1 idle"),
    ("upgraded to 1.2.3-rc.1", "upgraded to 10.0.14"),
    # numbers that are no codes
    ("错误数量: 28", "错误数量: 13"), ("订单 500 已创建", "订单 404 已创建"), ("ошибок 28", "ошибок 13"),
    ("GET /a 200 500", "GET /a 200 404"), ("ticket SHOP-218 open", "ticket SHOP-4711 open"),
    ("flight LH-404 late", "flight LH-500 late"), ("ERROR 2026-11-23 x", "ERROR 2027-01-05 x"),
    ("served 200 requests", "served 503 requests"),
    ("listening on port 500", "listening on port 8080"),
    ("closed 3 connections", "closed 404 connections"),
    ("order 404 shipped", "order 12 shipped"),
    ("queue length 503", "queue length 2"),
    ("returned 500 rows", "returned 3 rows"),
    ("signal=-62dBm", "signal=-70dBm"),
    ("pid 404 started", "pid 77 started"),
    # dates and zones
    ("24 oct. 2026 08:00:00 up", "1 déc. 2025 23:59:59 up"),
    ("24. Oktober 2026 08:00:00 up", "3. März 2025 07:10:09 up"),
    ("24 октября 2026 08:00:00 up", "3 мая 2025 07:10:09 up"),
    ("2026年10月24日 08:00:00 up", "2025年3月1日 23:10:11 up"),
    ("Sat Oct 24 08:00:00 CEST 2026 up", "Sun Oct 25 08:00:00 CET 2026 up"),
    ("24.10.2026 08:00:00 MSK up", "25.10.2026 09:00:00 +03 up"),
    ("10/24/2026 8:00:00 AM up", "10/25/2026 11:00:00 PM up"),
    ("2026-10-24T08:00:00.1Z up", "2026-10-24T08:00:00+02:00 up"),
    ("2026년 10월 24일 오전 8:00:00 up", "2025년 3월 1일 오후 1:10:11 up"),
    ("2026年10月24日 星期六 08:00:00 up", "2026年10月25日 星期日 09:00:00 up"),
    ("2026. október 24. 08:00:00 up", "2025. január 3. 07:10:09 up"),
    ("Sat Oct 24 2026 08:00:00 GMT+0200 (CEST) up", "Sun Jan 04 2026 09:00:00 GMT+0100 (CET) up"),
    ("runs Monday, October 24, 2026", "runs Tuesday, January 5, 2027"),
    ("2026-10-24 08:00:00 Europe/Berlin up", "2026-10-24 08:00:00 Asia/Tokyo up"),
]  # fmt: skip

WORDS = """
    OrderService PaymentGatewayClient NullPointerException IOException XMLHttpRequest parseJSONBody getHTTPSUrl iOSApp
    PDFToHTML setDBIdTTL sendMsgToSvc dbConnStr nginx sshd rsync kubectl systemd mkfs iptables httpd zsh ntpd dpkg grpc
    facade decade added faded cafe Donaudampfschifffahrtsgesellschaft Geschwindigkeitsbegrenzung epäjärjestelmällisyys
    Angstschweiss rhythm strengths kube-proxy coredns my-app-frontend web-https local-path-provisioner InnoDB PostgreSQL
    RabbitMQ GitHub YouTube McDonald macOS LaTeX DevOps readOnly camelCase snake_case kebab-case SCREAMING_SNAKE
""".split()  # noqa: SIM905


@pytest.mark.parametrize(("line", "one", "other"), STATUSES_APART)
def test_a_status_is_kept_wherever_it_stands(line: str, one: str, other: str) -> None:
    """Success and failure of a request are two kinds of line in the log of any server."""
    assert one in line
    assert mask_line(line) != mask_line(line.replace(one, other))


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_differs_for_an_engineer_stays_different(one: str, other: str) -> None:
    """Codes, results, levels, words beside numbers and messages make another kind of line."""
    assert mask_line(one) != mask_line(other)


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_what_varies_from_line_to_line_is_one_kind(one: str, other: str) -> None:
    """Ids, names, places, amounts and times make no other kind of line."""
    assert mask_line(one) == mask_line(other)


@pytest.mark.parametrize("word", WORDS)
def test_words_are_no_ids(word: str) -> None:
    """Names of classes and programs, acronyms and long words of other languages stay."""
    assert word in mask_line(f"the {word} stopped")


@pytest.mark.parametrize(
    ("alphabet", "length", "missed"),
    [
        (string.ascii_letters + string.digits, 11, 20),  # one in six has no digit, and some of these read like a name
        (string.ascii_letters + string.digits, 22, 5),
        (string.ascii_letters + string.digits + "-_", 21, 15),  # a piece between signs can be a word
        (string.ascii_letters + string.digits + "+/", 44, 5),
        ("0123456789abcdef", 16, 1),
        ("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26, 1),
        ("abcdefghijklmnopqrstuvwxyz234567", 32, 2),
    ],
)
def test_random_ids_of_any_alphabet_are_one_kind(alphabet: str, length: int, missed: int) -> None:
    """Of 500 lines with an id each, few look like another kind."""
    chosen = random.Random(7)
    lines = ["object " + "".join(chosen.choices(alphabet, k=length)) + " stored" for _ in range(500)]
    assert len({mask_line(line) for line in lines}) <= missed


UNITS = [
    *(
        "a",
        "A",
        "7",
        "aA",
        "a1",
        "-",
        "_",
        ".",
        "/",
        "\\",
        " ",
        "'",
        '"',
        "=",
        "@",
        "*",
        "(",
        "[",
        "<",
        "a.",
        "a=",
        "1-",
    ),
    *(
        "\x1b[",
        "\x1b]",
        "GET /",
        "'a",
        "user ",
        "\u00e9",
        "1.1.1 ",
        "a@",
        "::",
        "for user x ",
        "\x01",
        "select a from ",
    ),
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_hostile_line_costs_little(unit: str) -> None:
    """A megabyte of one sign, and a long word of it, cost milliseconds to mask and end as a short text."""
    for length in (4_000, 1_000_000):
        key = mask_blob((unit * length)[:length].encode("utf-8", "replace") + b"\n")[0]
        started = time.thread_time()
        assert len(canonical(key)) <= MAX_CANONICAL_CHARS
        assert time.thread_time() - started < 0.2


def test_painted_lines_are_the_plain_ones() -> None:
    """Colours, also within a word, links and cursor movements make no other kind of line."""
    plain = mask_line("10:00:01 ERROR cart 7 lost")
    assert mask_line("10:00:01 \x1b[1;31mERROR\x1b[0m cart \x1b[4m7\x1b[24m lost\x1b[K") == plain
    assert mask_line("10:00:01 \x1b[38;5;196mERR\x1b[mOR cart \x1b]8;;http://x\x1b\\7\x1b]8;;\x1b\\ lost") == plain


def test_the_tail_of_a_long_line_counts() -> None:
    """What is said after 40 or after 4,000 values makes the kind of a line, and the values do not."""
    for count in (40, 4_000):
        context = " ".join(f"name{n}=word" for n in range(count))
        assert mask_line(f"INFO [{context}] panic: out of memory") != mask_line(f"INFO [{context}] request served")
        assert mask_line(f"INFO [{context}] request served").endswith("request served")
        assert mask_line(f"INFO [{context}] request served").startswith("INFO [")
