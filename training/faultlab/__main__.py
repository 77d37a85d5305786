"""The lab's command line: list, doctor, record, show. The only place of the package that prints."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from training.faultlab.errors import FaultlabError
from training.faultlab.network import enter_private_network
from training.faultlab.process import termination_raises
from training.faultlab.recording import Recording, load, novel_lines, save
from training.faultlab.runner import record
from training.faultlab.scenario import Script
from training.faultlab.systems import SYSTEMS, build


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.faultlab", description="Real systems under real faults.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the systems that can be recorded")
    commands.add_parser("doctor", help="the Debian packages that are missing")
    recording = commands.add_parser("record", help="run a system once and write a recording")
    recording.add_argument("system", choices=sorted(SYSTEMS))
    recording.add_argument("--out", type=Path, required=True, help="directory of the recording")
    recording.add_argument("--seed", type=int, default=1)
    recording.add_argument("--minutes", type=float, default=2.0, help="clean time, faults not counted")
    recording.add_argument("--fault", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    showing = commands.add_parser("show", help="counts, events and what was new in each")
    showing.add_argument("path", type=Path)
    arguments = parser.parse_args(argv)
    if arguments.command == "list":
        print("\n".join(sorted(SYSTEMS)))
        return 0
    if arguments.command == "doctor":
        return _doctor()
    if arguments.command == "show":
        _show(load(arguments.path))
        return 0
    script = Script(seed=arguments.seed, clean_s=arguments.minutes * 60, faults=frozenset(arguments.fault))
    return _record(arguments.system, script, arguments.out)


def _doctor() -> int:
    healthy = True
    for name in sorted(SYSTEMS):
        packages = build(name, 0).missing()
        healthy = healthy and not packages
        print(f"{name}: " + (f"apt-get install --no-install-recommends {' '.join(packages)}" if packages else "ready"))
    return 0 if healthy else 1


def _record(name: str, script: Script, out: Path) -> int:
    enter_private_network()
    try:
        with termination_raises():
            result = record(build(name, script.seed), script, lambda text: print(text, flush=True))
    except FaultlabError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    save(result, out)
    _show(result)
    return 0


def _show(recording: Recording) -> None:
    print(f"{recording.system} {dict(recording.versions)} seed {recording.seed}, started {recording.started}")
    counts = Counter(line.service for line in recording.lines)
    print(f"{len(recording.lines)} lines {dict(counts)}, clean until {recording.clean_until:.0f} s")
    for event in recording.events:
        novel = novel_lines(recording, event)
        print(
            f"{event.kind:6} {event.name:22} {event.injected_at:7.1f} → {event.cleared_at:7.1f}"
            f" → {event.recovered_at:7.1f}  {len(novel)} novel lines"
        )
        if event.kind == "fault":
            for line in novel[:3]:
                print(f"         {line.service}: {line.text}")
    for name, reason in recording.skipped.items():
        print(f"skipped {name}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
