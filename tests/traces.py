"""Made-up traces of many runtimes, as their programs print them: for tests of condensing and of joining."""

from __future__ import annotations

from tests.trace_samples import OTHERS, Sample

__all__ = ["SAMPLES", "Sample"]

_ALL = (
    Sample(
        "java, a logged exception with a cause",
        """2026-03-04 09:15:01.120 ERROR [worker-7] org.orchard.Picker - basket 4711 not stored
org.orchard.store.StoreException: no room in row 12
\tat org.springframework.jdbc.core.JdbcTemplate.execute(JdbcTemplate.java:376)
\tat org.orchard.store.RowStore.put(RowStore.java:88)
\tat org.orchard.Picker.lambda$pick$0(Picker.java:41)
\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1144)
Caused by: java.sql.SQLTransientConnectionException: pool-1 - timed out after 30001ms.
\tat com.zaxxer.hikari.pool.HikariPool.createTimeoutException(HikariPool.java:696)
\t... 23 more
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.connect0(Native Method)
\t... 31 common frames omitted""",
        (
            "basket 4711 not stored: org.orchard.store.StoreException: no room in row 12",
            "Caused by: java.net.ConnectException: Connection refused",
            "at org.orchard.store.RowStore.put(",
        ),
        ("JdbcTemplate", "more", "omitted"),
    ),
    Sample(
        "java, uncaught",
        """Exception in thread "main" java.lang.OutOfMemoryError: Java heap space
\tat java.base/java.util.Arrays.copyOf(Arrays.java:3512)
\tat org.orchard.Tree.grow(Tree.java:19)""",
        ('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space at org.orchard.Tree.grow(',),
        ("Arrays",),
    ),
    Sample(
        "java, no message and a suppressed one",
        """09:15:02 SEVERE boiler: unexpected
java.lang.NullPointerException
\tat org.orchard.Boiler.heat(Boiler.java:7)
\tSuppressed: java.io.IOException: Stream closed
\t\tat org.orchard.Valve.close(Valve.java:3)""",
        ("boiler: unexpected: java.lang.NullPointerException at org.orchard.Boiler.heat(",),
    ),
    Sample(
        "python, a logged exception",
        """2026-03-04 09:15:03,001 ERROR picker: row 12 failed
Traceback (most recent call last):
  File "/srv/orchard/picker.py", line 41, in pick
    row = rows[key]
          ~~~~^^^^^
KeyError: 'apples'""",
        ("ERROR picker: row 12 failed: KeyError: 'apples' at picker.py pick",),
        ("Traceback", "rows[key]"),
    ),
    Sample(
        "python, nothing before it",
        """Traceback (most recent call last):
  File "/srv/orchard/main.py", line 9, in <module>
    run()
  File "/srv/orchard/main.py", line 5, in run
    raise SystemError
SystemError""",
        ("SystemError at main.py run",),
        ("Traceback",),
    ),
    Sample(
        "python, chained",
        """WARNING:orchard:retrying
Traceback (most recent call last):
  File "/usr/lib/python3.11/socket.py", line 848, in create_connection
    sock.connect(sa)
ConnectionRefusedError: [Errno 111] Connection refused

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/orchard/net.py", line 12, in fetch
    return call()
  File "/venv/lib/python3.11/site-packages/urllib3/util.py", line 95, in call
    raise NewConnectionError
urllib3.exceptions.NewConnectionError: cannot reach orchard-db

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/orchard/main.py", line 3, in <module>
    fetch()
orchard.errors.NoHarvest: the rows are away""",
        (
            "WARNING:orchard:retrying: orchard.errors.NoHarvest: the rows are away",
            "Caused by: ConnectionRefusedError: [Errno 111] Connection refused",
            "at main.py <module>",
        ),
        ("During", "direct cause"),
    ),
    Sample(
        "python, a group",
        """  + Exception Group Traceback (most recent call last):
  |   File "/srv/orchard/all.py", line 8, in <module>
  |     raise ExceptionGroup("rows", errors)
  | ExceptionGroup: rows (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/orchard/all.py", line 4, in row
    |     pick()
    | ValueError: row 3 is no row
    +---------------- 2 ----------------
    | TypeError: row is None
    +------------------------------------""",
        ("ExceptionGroup: rows (2 sub-exceptions)", "Caused by: ValueError: row 3 is no row"),
        ("----",),
    ),
    Sample(
        "python, a database's message of many lines",
        """2026-03-04 09:15:04,530 ERROR [orchard.api] request failed
Traceback (most recent call last):
  File "/srv/orchard/api.py", line 77, in post
    session.commit()
  File "/venv/lib/python3.11/site-packages/sqlalchemy/orm/session.py", line 1920, in commit
    trans.commit(_to_root=True)
sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key value
DETAIL:  Key (id)=(12) already exists.

[SQL: INSERT INTO rows (id) VALUES (%(id)s)]
[parameters: {'id': 12}]
(Background on this error at: https://sqlalche.me/e/20/gkpj)""",
        (
            "request failed: sqlalchemy.exc.IntegrityError: (psycopg2.errors.UniqueViolation) duplicate key",
            "api.py post",
        ),
        ("session.py",),
    ),
    Sample(
        "go, a panic",
        """panic: runtime error: index out of range [5] with length 3 [recovered]
\tpanic: runtime error: index out of range [5] with length 3

goroutine 18 [running]:
testing.tRunner.func1.2({0x52e0c0, 0xc00001c0f0})
\t/usr/local/go/src/testing/testing.go:1631 +0x24a
panic({0x52e0c0?, 0xc00001c0f0?})
\t/usr/local/go/src/runtime/panic.go:770 +0x132
orchard/rows.(*Row).Pick(...)
\t/src/orchard/rows/row.go:31
main.main()
\t/src/orchard/main.go:12 +0x1d
created by net/http.(*Server).Serve in goroutine 1
\t/usr/local/go/src/net/http/server.go:3285 +0x4b4
exit status 2""",
        ("panic: runtime error: index out of range [5] with length 3", "at orchard/rows.(*Row).Pick"),
        ("goroutine", "testing.go", "exit status"),
    ),
    Sample(
        "go, a fatal error with a signal",
        """fatal error: unexpected signal during runtime execution
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45e2f1]

goroutine 1 gp=0xc0000061c0 m=0 mp=0x5b2ae0 [running]:
runtime.throw({0x4a8f3c?, 0x0?})
\t/usr/local/go/src/runtime/panic.go:1023 +0x5c fp=0xc000074e48
main.main()
\t/src/orchard/main.go:12 +0x1d""",
        ("fatal error: unexpected signal during runtime execution", "at main.main"),
        ("runtime.throw",),
    ),
    Sample(
        "dotnet, with an inner exception",
        """fail: Orchard.Picker[0]
      Row 12 was not picked
      System.InvalidOperationException: the row is locked
       ---> System.TimeoutException: no answer in 30 s
         at Npgsql.NpgsqlConnector.Read() in /_/src/Npgsql/NpgsqlConnector.cs:line 900
         --- End of inner exception stack trace ---
         at Orchard.Store.Lock(Row row) in /src/Orchard/Store.cs:line 40
         at System.Threading.Tasks.Task.Execute()""",
        (
            "fail: Orchard.Picker[0]",
            "System.InvalidOperationException: the row is locked",
            "Caused by: System.TimeoutException: no answer in 30 s",
            "at Orchard.Store.Lock(Row row)",
        ),
        ("Npgsql", "--- End"),
    ),
    Sample(
        "dotnet, unhandled",
        """Unhandled exception. System.IO.FileNotFoundException: Could not find file 'rows.txt'.
   at System.IO.File.Open(String path)
   at Orchard.Program.Main(String[] args) in C:\\src\\Orchard\\Program.cs:line 9""",
        ("System.IO.FileNotFoundException: Could not find file 'rows.txt'. at Orchard.Program.Main(String[] args)",),
        ("File.Open",),
    ),
    Sample(
        "node, uncaught",
        """/srv/orchard/row.js:12
    throw new RowError('row is full', { cause })
    ^

RowError: row is full
    at pick (/srv/orchard/row.js:12:11)
    at async run (file:///srv/orchard/main.mjs:3:5)
    at node:internal/main/run_main_module:28:49 {
  code: 'E_FULL',
  [cause]: Error: connect ECONNREFUSED 10.1.2.3:5432
      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16) {
    errno: -111
  }
}

Node.js v20.11.1""",
        (
            "RowError: row is full",
            "Caused by: Error: connect ECONNREFUSED 10.1.2.3:5432",
            "at pick (/srv/orchard/row.js",
        ),
        ("node:internal", "Node.js"),
    ),
    Sample(
        "node, a logged error",
        """[2026-03-04T09:15:05.000Z] error: cannot pick
TypeError: Cannot read properties of undefined (reading 'row')
    at Layer.handle [as handle_request] (/srv/node_modules/express/lib/router/layer.js:95:5)
    at /srv/orchard/routes.ts:31:18
    at new Promise (<anonymous>)""",
        ("cannot pick: TypeError: Cannot read properties of undefined (reading 'row') at /srv/orchard/routes.ts",),
        ("express",),
    ),
    Sample(
        "rust, a panic",
        """thread 'tokio-runtime-worker' panicked at src/rows.rs:21:9:
row 12 is rotten
stack backtrace:
   0: rust_begin_unwind
             at /rustc/07dca489ac2d933c78d3c5158e3f43beefeb02ce/library/std/src/panicking.rs:645:5
   1: core::panicking::panic_fmt
             at /rustc/07dca489ac2d933c78d3c5158e3f43beefeb02ce/library/core/src/panicking.rs:72:14
   2: orchard::rows::Row::pick
             at ./src/rows.rs:21:9
   3: tokio::runtime::task::core::poll
note: run with `RUST_BACKTRACE=full` for a verbose backtrace""",
        ("panicked at src/rows.rs:21:9: row 12 is rotten at orchard::rows::Row::pick",),
        ("rust_begin_unwind", "note"),
    ),
    Sample(
        "rust, an error with causes",
        """Error: harvest failed

Caused by:
    0: row 12 cannot be read
    1: No such file or directory (os error 2)""",
        ("Error: harvest failed Caused by: No such file or directory (os error 2)",),
    ),
    Sample(
        "ruby, uncaught",
        """/srv/orchard/row.rb:12:in `fetch': key not found: :apples (KeyError)
\tfrom /usr/lib/ruby/3.1.0/set.rb:9:in `each'
\tfrom /srv/orchard/main.rb:4:in `<main>'""",
        ("key not found: :apples (KeyError)", "row.rb:12:in"),
        ("set.rb",),
    ),
    Sample(
        "ruby, a logged error",
        """E, [2026-03-04T09:15:06.100000 #77] ERROR -- : NoMethodError (undefined method `row' for nil):
app/models/tree.rb:31:in `row'
app/controllers/trees_controller.rb:8:in `show'""",
        ("NoMethodError (undefined method `row' for nil):", "app/models/tree.rb:31:in `row'"),
        ("trees_controller",),
    ),
    Sample(
        "php, uncaught",
        """PHP Fatal error:  Uncaught RuntimeException: row is gone in /srv/orchard/row.php:12
Stack trace:
#0 /srv/vendor/framework/kernel.php(80): call()
#1 /srv/orchard/main.php(4): Row->pick()
#2 {main}
  thrown in /srv/orchard/row.php on line 12""",
        ("Uncaught RuntimeException: row is gone in /srv/orchard/row.php:12", "/srv/orchard/main.php(4): Row->pick()"),
        ("{main}", "kernel.php", "thrown"),
    ),
)
SAMPLES = {sample.name: sample for sample in (*_ALL, *OTHERS)}
