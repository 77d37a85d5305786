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
    Sample(
        "erlang, a report",
        """=ERROR REPORT==== 4-Mar-2026::09:15:11.000 ===
** Generic server row_server terminating
** Last message in was pick
** Reason for termination ==
** {badmatch,{error,rotten}}""",
        ("Generic server row_server terminating", "{badmatch,{error,rotten}}"),
    ),
    Sample(
        "erlang, a crash",
        """=CRASH REPORT==== 4-Mar-2026::09:15:11.000 ===
  crasher:
    initial call: row:init/1
    exception error: no match of right hand side value {error,rotten}
      in function  row:pick/1 (row.erl, line 12)""",
        ("no match of right hand side value {error,rotten}",),
    ),
    Sample(
        "swift",
        """Fatal error: Unexpectedly found nil while unwrapping an Optional value: file Orchard/Row.swift, line 12
Current stack trace:
0    libswiftCore.so                    0x00007f5b12 _swift_stdlib_reportFatalErrorInFile + 112
1    Orchard                            0x0000561f12 main + 12""",
        ("Unexpectedly found nil",),
    ),
    Sample(
        "objective-c",
        """*** Terminating app due to uncaught exception 'RowException', reason: 'row is rotten'
*** First throw call stack:
(
\t0   CoreFoundation                      0x00007fff20 __exceptionPreprocess + 250
\t1   Orchard                             0x00007fff21 pick + 48
)
libc++abi: terminating with uncaught exception of type RowException""",
        ("uncaught exception 'RowException', reason: 'row is rotten'",),
    ),
    Sample(
        "c++, a failed check",
        """CRITICAL row.cc:12] Check failed: rows > 0 (0 vs. 0)
*** Check failure stack trace: ***
    @     0x7f12aa  google::LogMessage::Fail()
    @     0x561f12  orchard::Row::Pick()""",
        ("Check failed: rows > 0 (0 vs. 0)", "at orchard::Row::Pick()"),
    ),
    Sample(
        "c++, a signal",
        """*** SIGSEGV (@0x0) received by PID 7 (TID 0x7f12) from PID 0; stack trace: ***
    @     0x7f1234 (unknown)
    @     0x561f12 orchard::Row::Pick()""",
        ("SIGSEGV", "at orchard::Row::Pick()"),
    ),
    Sample(
        "perl",
        """row is rotten at /srv/orchard/row.pl line 12.
\tmain::pick('apples') called at /srv/orchard/row.pl line 20
\tmain::run() called at /srv/orchard/row.pl line 30""",
        ("row is rotten at /srv/orchard/row.pl line 12.", "main::pick("),
        ("main::run",),
    ),
    Sample(
        "ocaml",
        """Fatal error: exception Orchard.Rotten
Raised at Stdlib__List.find in file "list.ml", line 12, characters 10-25
Called from Row.pick in file "row.ml", line 7, characters 3-9""",
        ("exception Orchard.Rotten", "at Row.pick"),
    ),
    Sample(
        "r",
        """Error in pick(row) : object 'apples' not found
Calls: main -> pick
Execution halted""",
        ("object 'apples' not found",),
    ),
    Sample(
        "lua",
        """lua: row.lua:12: attempt to index a nil value
stack traceback:
\trow.lua:12: in function 'pick'
\t[C]: in ?""",
        ("attempt to index a nil value",),
    ),
    Sample(
        ".net, in German",
        """Exception: row is rotten
   bei Orchard.Row.Pick() in C:\\src\\Row.cs:Zeile 12.
   bei Orchard.Program.Main()""",
        ("row is rotten", "Orchard.Row.Pick()"),
    ),
    Sample(
        "java's own logger",
        """Mar 04, 2026 9:15:13 AM org.orchard.Row pick
SEVERE: row not stored
org.orchard.StoreException: no room
\tat org.orchard.Row.pick(Row.java:12)""",
        ("SEVERE: row not stored: org.orchard.StoreException: no room at org.orchard.Row.pick(",),
    ),
    Sample(
        "android",
        """ERROR AndroidRuntime(  777): FATAL EXCEPTION: main
ERROR AndroidRuntime(  777): Process: org.orchard, PID: 777
ERROR AndroidRuntime(  777): org.orchard.RowException: rotten
ERROR AndroidRuntime(  777): \tat org.orchard.Row.pick(Row.java:12)""",
        ("FATAL EXCEPTION: main", "org.orchard.RowException: rotten at org.orchard.Row.pick("),
    ),
    Sample(
        "node, a script",
        """/srv/orchard/row.js:12
    throw new Error('rotten');
    ^
Error: row is rotten
    at pick (/srv/orchard/row.js:12:9)
    at Module._compile (node:internal/modules/cjs/loader:1105:14)""",
        ("Error: row is rotten at pick (/srv/orchard/row.js",),
    ),
    Sample(
        "a kernel",
        """Mar  4 09:15:14 orchard kernel: [  777.000001] BUG: kernel NULL pointer dereference, address: 08
Mar  4 09:15:14 orchard kernel: [  777.000002] #PF: supervisor read access in kernel mode
Mar  4 09:15:14 orchard kernel: [  777.000003] Oops: 0000 [#1] PREEMPT SMP NOPTI
Mar  4 09:15:14 orchard kernel: [  777.000004] CPU: 3 PID: 71 Comm: picker Tainted: G OE 5.15.0
Mar  4 09:15:14 orchard kernel: [  777.000005] RIP: 0010:row_write+0x12/0x40 [orchard]
Mar  4 09:15:14 orchard kernel: [  777.000006] Code: 48 89 e5 <48> 8b 47 08
Mar  4 09:15:14 orchard kernel: [  777.000007] RSP: 0018:ffff88003f EFLAGS: 00010246
Mar  4 09:15:14 orchard kernel: [  777.000008] Call Trace:
Mar  4 09:15:14 orchard kernel: [  777.000009]  <TASK>
Mar  4 09:15:14 orchard kernel: [  777.000010]  vfs_write+0x9a/0x1a0
Mar  4 09:15:14 orchard kernel: [  777.000011]  ? __x64_sys_write+0x5a/0xb0
Mar  4 09:15:14 orchard kernel: [  777.000012]  </TASK>
Mar  4 09:15:14 orchard kernel: [  777.000013] ---[ end trace 0123456789abcdef ]---""",
        ("NULL pointer dereference", "at row_write"),
    ),
    Sample(
        "innodb",
        """2026-03-04T09:15:15.000001Z 0 [ERROR] [MY-013183] [InnoDB] Assertion failure: row0row.cc:12:page
InnoDB: thread 140
InnoDB: We intentionally generate a memory trap.""",
        ("[ERROR] [MY-013183] [InnoDB] Assertion failure: row0row.cc:12:page InnoDB: thread 140",),
    ),
    Sample(
        "a box around an error",
        """\u2502 Error: Invalid row
\u2502
\u2502   on row.tf line 12:
\u2502 A row must have a tree""",
        ("Error: Invalid row on row.tf line 12: A row must have a tree",),
        ("\u2502",),
    ),
    Sample(
        "a framework's trace at the end of a line",
        """[2026-03-04 09:15:16] app.ERROR: Class "Row" not found {"exception":"[object] (Error(code: 0) at /a.php:12)
[stacktrace]
#0 /srv/vendor/a.php(3): Orchard->pick()
#1 {main}
"}""",
        ('app.ERROR: Class "Row" not found',),
    ),
    Sample(
        "oracle, its own stack",
        """Errors in file /srv/diag/row.trc:
ORA-00600: internal error code, arguments: [row], []
ORA-06512: at "ORCHARD.ROW", line 12""",
        ("ORA-00600: internal error code",),
    ),
    Sample(
        "postgresql, a statement of many lines",
        """2026-03-04 09:15:17.000 UTC [777] ERROR:  relation "rows" does not exist
2026-03-04 09:15:17.000 UTC [777] STATEMENT:  SELECT *
\tFROM rows""",
        ('relation "rows" does not exist', "STATEMENT: SELECT * FROM rows"),
    ),
)
