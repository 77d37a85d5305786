"""Made-up events of many lines: C++, databases, and what other programs print."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """One event of many lines, and what the one line for it has to contain."""

    name: str
    text: str
    contains: tuple[str, ...]
    lacks: tuple[str, ...] = ()


OTHERS = (
    Sample(
        "c++, an exception",
        """terminate called after throwing an instance of 'orchard::row_error'
  what():  row 12 is rotten
Aborted (core dumped)""",
        ("terminate called after throwing an instance of 'orchard::row_error': row 12 is rotten",),
    ),
    Sample(
        "c++, glibc",
        """*** Error in `./picker': double free or corruption (fasttop): 0x0000000001c7a010 ***
======= Backtrace: =========
/lib/x86_64-linux-gnu/libc.so.6(+0x777e5)[0x7f3c1c1ae7e5]
./picker(_ZN7orchard4pickEv+0x12)[0x400d12]
======= Memory map: ========
00400000-00402000 r-xp 00000000 08:01 131 /srv/picker
Aborted (core dumped)""",
        ("double free or corruption (fasttop)",),
    ),
    Sample(
        "c++, a sanitizer",
        """==77==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010
READ of size 4 at 0x602000000010 thread T0
    #0 0x4f4e5c in __interceptor_free (/srv/picker+0x4f4e5c)
    #1 0x51b6d2 in orchard::pick() /src/picker.cpp:12:5
SUMMARY: AddressSanitizer: heap-use-after-free /src/picker.cpp:12:5 in orchard::pick()""",
        ("AddressSanitizer: heap-use-after-free on address", "at orchard::pick() /src/picker.cpp:12:5"),
    ),
    Sample(
        "postgresql, an error with its details",
        """2026-03-04 09:15:07.000 UTC [812] app@o ERROR:  duplicate key value violates unique constraint "rows_pkey"
2026-03-04 09:15:07.000 UTC [812] app@o DETAIL:  Key (id)=(12) already exists.
2026-03-04 09:15:07.000 UTC [812] app@o STATEMENT:  INSERT INTO rows
\t    (id, tree)
\tVALUES (12, 3)""",
        ('ERROR: duplicate key value violates unique constraint "rows_pkey" DETAIL: Key (id)=(12) already exists.',),
        ("812] app@o DETAIL",),
    ),
    Sample(
        "mysql, a slow query",
        """# Time: 2026-03-04T09:15:08.000000Z
# User@Host: app[app] @ orchard [10.1.2.3]  Id:    77
# Query_time: 12.000345  Lock_time: 0.000012 Rows_sent: 1  Rows_examined: 900000
SET timestamp=1772615708;
SELECT * FROM rows
WHERE tree = 3;""",
        ("Query_time: 12.000345", "SELECT * FROM rows WHERE tree = 3;"),
    ),
    Sample(
        "oracle, a stack of codes",
        """ORA-01403: no data found: ERROR in row
ORA-06512: at "ORCHARD.PICK", line 12
ORA-06512: at line 1""",
        ("ORA-01403: no data found",),
    ),
    Sample(
        "pretty-printed JSON",
        """{
  "level": "error",
  "message": "row 12 failed",
  "detail": {
    "code": 7
  }
}""",
        ('"level": "error", "message": "row 12 failed", "detail": { "code": 7 } }',),
    ),
    Sample(
        "indented lines behind a colon",
        """2026-03-04 09:15:09 INFO orchard settings:
    rows: 12
    trees: 3""",
        ("INFO orchard settings: rows: 12 trees: 3",),
    ),
    Sample(
        "elixir",
        """09:15:10.000 [error] GenServer Orchard.Row terminating
** (RuntimeError) row is rotten
    (orchard 0.1.0) lib/row.ex:12: Orchard.Row.handle_call/3
    (stdlib 4.0) gen_server.erl:1149: :gen_server.try_handle_call/4
Last message: :pick""",
        ("GenServer Orchard.Row terminating", "(RuntimeError) row is rotten"),
    ),
)
