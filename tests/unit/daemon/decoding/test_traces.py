"""Traces of many runtimes become one line that names the exception, and every line of them is known to continue."""

from __future__ import annotations

import time

import pytest

from logwarden.daemon.decoding.trace_lines import Trace
from logwarden.daemon.decoding.trace_shapes import Shape, shape_of
from logwarden.daemon.decoding.traces import MAX_CONDENSED_CHARS, condense
from logwarden.model.masking import mask_blob, mask_line
from tests.traces import SAMPLES, Sample


def taken(lines: list[str]) -> int:
    """Returns how many of the lines belong to the event that the first one opens."""
    if shape_of(lines[0]) is Shape.PLAIN:
        return 1
    trace = Trace(lines[0], is_indented=lines[0][:1] in " \t")
    for number, line in enumerate(lines[1:], 1):
        if not trace.takes(line.strip(), is_indented=line[:1] in " \t"):
            return number
    return len(lines)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_one_line_names_the_exception(sample: Sample) -> None:
    """Head, exception, root cause and own frame are in the one line; library frames and dumps are not."""
    line = condense(sample.text)
    assert "\n" not in line
    assert [text for text in sample.contains if text not in line] == [], line
    assert [text for text in sample.lacks if text in line] == [], line


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_all_lines_of_an_event_belong_to_it(sample: Sample) -> None:
    """No line of a trace is taken for an event of its own; blank lines between them do not occur."""
    lines = [line for line in sample.text.split("\n") if line.strip()]
    assert taken(lines) == len(lines), f"left: {lines[taken(lines)]}"


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize(
    "after",
    [
        "2026-03-04 09:16:00.000 INFO  [worker-7] org.orchard.Picker - basket 4712 stored",
        "  2026-03-04 09:16:00.000 INFO padded by the layout",
        " INFO [main] org.orchard.Picker - padded by the layout",
        "[2026-03-04T09:16:00Z] info: done",
        "I0304 09:16:00.000001       1 picker.go:12] done",
        '10.1.2.3 - - [04/Mar/2026:09:16:00 +0000] "GET /rows HTTP/1.1" 200 12',
        "2026-03-04 09:16:00.000 UTC [999] app@o LOG:  checkpoint complete",
    ],
)
def test_the_next_event_is_not_swallowed(sample: Sample, after: str) -> None:
    """A line with a time or a level of its own ends the trace before it, however it is indented."""
    lines = [line for line in sample.text.split("\n") if line.strip()]
    if sample.name.startswith("mysql") and after[0] == "1":
        pytest.skip("the slow log of MySQL ends in a statement, which may begin with anything, an address too")
    assert taken([*lines, after]) == len(lines)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_the_same_event_again_is_another_event(sample: Sample) -> None:
    """Two traces in a row are two events."""
    lines = [line for line in sample.text.split("\n") if line.strip()]
    assert taken([*lines, *lines]) == len(lines)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_no_trace_is_too_long(sample: Sample) -> None:
    """A thousand frames and a head of a thousand words leave the exception where it is."""
    head, *rest = sample.text.split("\n")
    frames = [line for line in rest if line.strip().startswith(("at ", 'File "', "from "))][:1]
    long = "\n".join([head, *rest[:-1], *frames * 1_000, *rest[-1:]])
    assert len(condense(long)) <= max(MAX_CONDENSED_CHARS, len(condense(sample.text)) + 1)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_shape_does_not_depend_on_digits(sample: Sample) -> None:
    """All lines of one masked key have one shape, so that it can be learned once per key."""
    lines = [line.strip() for line in sample.text.split("\n") if line.strip()]
    keys = mask_blob("".join(f"{line}\n" for line in lines).encode())
    assert [shape_of(key.decode()) for key in keys] == [shape_of(line) for line in lines]


def test_a_long_head_leaves_room_for_the_exception() -> None:
    """The head is truncated, never the exception behind it."""
    line = condense(
        "ERROR " + "row " * 500 + "\norg.orchard.RowException: rotten\n\tat org.orchard.Row.pick(Row.java:3)"
    )
    assert "org.orchard.RowException: rotten at org.orchard.Row.pick(Row.java:3)" in line
    assert len(line) <= MAX_CONDENSED_CHARS
    assert line.startswith("ERROR row row")


def test_eight_exceptions_are_eight_kinds() -> None:
    """The same code that fails in other ways gives other lines, and in the same way the same line."""
    names = ("KeyError", "ValueError", "MemoryError", "OSError", "TypeError", "TimeoutError", "EOFError", "ImportError")
    trace = "ERROR row {0} failed\nTraceback (most recent call last):\n" + '  File "/srv/a.py", line {0}, in pick\n' * 9
    lines = [mask_line(condense((trace + "{1}: it did not work").format(7, name))) for name in names]
    assert len(set(lines)) == len(names)
    assert mask_line(condense((trace + "KeyError: it did not work").format(12, ""))) == lines[0]


def test_one_line_stays_as_it_is() -> None:
    """An event of one line is only stripped."""
    assert condense("  disk  full \n\n") == "disk  full"
    assert condense("") == ""


def test_text_of_many_lines_without_a_trace_is_kept_whole() -> None:
    """Nothing is left out of a message that is no trace."""
    assert condense("a\r\n  b\tc\n\nd " + "x" * 3_000) == "a b c d " + "x" * 3_000


@pytest.mark.parametrize(
    "line",
    [
        "2026-03-04 09:15:00 INFO started",
        '10.1.2.3 - - [04/Mar/2026:09:15:00 +0000] "GET /rows HTTP/1.1" 200 12',
        "row 12 picked by worker 7",
        "user=app action=pick row=12",
    ],
)
def test_a_plain_line_is_not_worth_a_wait(line: str) -> None:
    """A line that no other line can continue opens nothing."""
    assert shape_of(line) is Shape.PLAIN


@pytest.mark.parametrize(
    "line", ["INFO picked row 12", "  2026-03-04 09:15:00 INFO started", "ERROR row 12 failed", ""]
)
def test_a_line_of_its_own_continues_nothing(line: str) -> None:
    """Times and levels begin events."""
    event = Trace("ERROR row 7 failed", is_indented=False)
    assert not event.takes(line.strip(), is_indented=line[:1] == " ")


def test_a_detail_belongs_to_its_own_process() -> None:
    """PostgreSQL's processes write between each other's lines: a detail of another one is an event of its own."""
    head = "2026-03-04 09:15:07 UTC [812] app@o ERROR:  duplicate key value"
    assert taken([head, "2026-03-04 09:15:07 UTC [812] app@o DETAIL:  Key (id)=(12) already exists."]) == 2
    assert taken([head, "2026-03-04 09:15:07 UTC [813] app@o DETAIL:  Key (id)=(12) already exists."]) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["WARN disk is slow", "Segmentation fault (core dumped)"],
        ["exit status 0", "exit status 1"],
        ["ERROR row 1 failed", "exit status 1"],
        ["#5 [2/3] RUN make rows", "#5 0.345 compiling"],
        ["+ rm -r rows", "+ make rows"],
        ["+------+-----+", "| row  | 12  |"],
        ["ERROR row 1 failed", "+ make rows"],
        ["ERROR row 1 failed", "Next run: 12:00"],
        ["ERROR row 1 failed", "created by alice"],
        ["ERROR row 1 failed", "1: row", "2: row"],
        ["ERROR row 1 failed", "checkout(1) [ok]"],
        ["ERROR row 1 failed", "row 2 picked"],
        ["ERROR row 1 failed", "ERROR row 2 failed"],
        ["INFO rows:", "INFO row 1"],
    ],
)
def test_look_alikes_are_events_of_their_own(lines: list[str]) -> None:
    """Lines of builds, shells and tables are no frames, and a crash is no part of a warning before it."""
    assert taken(lines) == 1


def test_exceptions_without_frames_are_events_of_their_own() -> None:
    """Two exception lines in a row are two failures."""
    assert taken(["ValueError: row 1", "ValueError: row 2"]) == 1


@pytest.mark.parametrize(
    "line",
    [
        "at " + "(" * 9_000,
        "main." + "(." * 9_000,
        "a." * 9_000 + "!",
        "x.rb:1:in `" + ": (" * 9_000,
        ":" * 9_000,
        "{" * 9_000,
        "}" * 9_000 + " row",
        "} ]," * 2_000 + " row",
        "1: " + "::" * 9_000,
        "ERROR " + "a::" * 9_000,
        " (" * 9_000,
        'File "' * 3_000,
    ],
)
def test_a_hostile_line_takes_no_time(line: str) -> None:
    """No line keeps a regular expression busy, alone or five hundred times in one record."""
    started = time.process_time()
    shape_of(line)
    Trace(line, is_indented=False).takes(line, is_indented=False)
    assert time.process_time() - started < 0.1
    started = time.process_time()
    condense("\n".join([line] * 500))
    assert time.process_time() - started < 3


def test_a_level_before_every_line_is_no_begin() -> None:
    """Collectors of containers give each line of the error stream a level, frames too."""
    lines = [
        "ERROR Traceback (most recent call last):",
        'ERROR   File "/srv/orchard/main.py", line 9, in run',
        "ERROR     row = rows[key]",
        "ERROR KeyError: 'apples'",
    ]
    assert taken([*lines, "ERROR the next one"]) == len(lines)
    assert condense("\n".join(line.removeprefix("ERROR ") for line in lines)) == "KeyError: 'apples' at main.py run"
    assert taken(["ERROR picking failed", "ERROR \tat org.orchard.Row.pick(Row.java:3)", "ERROR other"]) == 2


@pytest.mark.parametrize(
    "head", ["ERROR Traceback (most recent call last):", "ERROR row 3: Traceback (most recent call last):"]
)
def test_a_level_stays_with_the_exception(head: str) -> None:
    """The words before a trace are kept; that a trace follows is not worth saying."""
    line = condense(head + '\n  File "/srv/orchard/main.py", line 9, in run\n    pick()\nKeyError: 1')
    assert line.startswith("ERROR")
    assert line.endswith(": KeyError: 1 at main.py run")
    assert "Traceback" not in line


@pytest.mark.parametrize("prefix", ["ERROR ", "ERROR orchard: ", "CRITICAL orchard-api[77]: "])
@pytest.mark.parametrize("indentation", ["", "  "])
def test_syslog_before_every_line_is_no_begin(prefix: str, indentation: str) -> None:
    """Each line of a trace may have the level and the program of syslog, and may have lost its indentation."""
    trace = ["Traceback (most recent call last):", 'File "/srv/orchard/main.py", line 9, in run', "row = rows[key]"]
    lines = [prefix + indentation * (number > 0) + line for number, line in enumerate(trace)]
    lines += [prefix + indentation + "~~~~^^^^^", prefix + "KeyError: 'apples'"]
    assert taken([*lines, prefix + "row 2 failed"]) == len(lines)
    line = condense("\n".join([prefix + "row 1 failed", *lines]))
    assert line == prefix + "row 1 failed: KeyError: 'apples' at main.py run"
    java = ["row 1 failed", "at org.orchard.Row.pick(Row.java:3)", "Suppressed: java.io.IOException: x", "... 23 more"]
    java = [prefix + line for line in java]
    assert taken([*java, prefix + "row 2 failed"]) == len(java)
    assert condense("\n".join(java)) == prefix + "row 1 failed at org.orchard.Row.pick(Row.java:3)"


HEADED = {
    "java": [
        "org.orchard.PickException: row 3",
        "\tat org.orchard.Row.pick(Row.java:3)",
        "\tSuppressed: java.io.IOException: closed",
        "\t\t... 4 more",
        "Caused by: java.io.IOException: no ladder",
        "\tat org.orchard.Ladder.up(Ladder.java:7)",
    ],
    "python": [
        "Traceback (most recent call last):",
        '  File "/srv/orchard/main.py", line 9, in run',
        "    row = rows[key]",
        "KeyError: 'apples'",
    ],
    "go": [
        "panic: no ladder",
        "",
        "goroutine 7 [running]:",
        "main.(*Row).pick(0xc000112000, {0xc0001a4000, 0x24})",
        "\t/src/row.go:118 +0x1b5",
        "exit status 2",
    ],
    "rust": ["thread 'main' panicked at src/row.rs:4:2:", "no ladder", "stack backtrace:", "   0: orchard::row::pick"],
    "dotnet": [
        "Unhandled exception while picking",
        "Orchard.PickException: row 3",
        " ---> Orchard.LadderException: no ladder",
        "   at Orchard.Row.Pick() in /src/Row.cs:line 42",
    ],
}


@pytest.mark.parametrize("trace", HEADED.values(), ids=HEADED)
@pytest.mark.parametrize(
    "head",
    [
        "Mar  4 09:15:0{} barn orchard[77]: ",
        "2026-03-04T09:15:0{}.123456+00:00 barn orchard[77]: ",
        "orchard-1  | ",
    ],
)
def test_the_head_of_a_file_of_syslog_or_of_compose_is_no_begin(head: str, trace: list[str]) -> None:
    """A trace whose every line has time, host and program is one event; what its program logs next is another."""
    lines = [(head.format(number // 2) + line).strip() for number, line in enumerate(trace)]
    assert taken([*lines, head.format(4) + "row 2 picked"]) == len(lines)
    line = condense("\n".join(lines))
    assert line.count(head.format(0).strip()) == 1
    assert "barn" not in line.removeprefix(head.format(0))
    assert [shape_of(mask_blob(line.encode() + b"\n")[0].decode()) for line in lines] == [
        shape_of(line) for line in lines
    ]


def test_traces_of_two_programs_in_one_file_do_not_mix() -> None:
    """A frame of another process or container belongs to no event of this one."""
    head = "Mar  4 09:15:00 barn orchard[77]: "
    frame = "\tat org.orchard.Row.pick(Row.java:3)"
    first = f"{head}org.orchard.PickException: row 3"
    assert taken([first, head + frame]) == 2
    assert taken([first, head.replace("77", "78") + frame]) == 1
    assert taken(["orchard-1 | org.orchard.PickException: row 3", f"orchard-2 | {frame}"]) == 1
