"""The simulated worlds: their members, their lines, their faults."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.weather import CALM, ROUGH, Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One world. Times are in virtual seconds."""

    name: str
    members: int = 2
    partitions: int = 4
    services: int = 3
    lines: int = 300
    over_s: float = 30.0
    size: int = 8
    """Lines in a window: few, so that windows are full soon and cross every boundary."""
    step: int = 1
    faults: Faults = CALM
    deeds: tuple[str, ...] = ()
    """Deeds on members and topics while lines are produced: see `tests.sim.world`."""
    deed_count: int = 0
    anomalous: float = 0.15
    max_in_flight_lines: int = 60
    max_poll_records: int = 25
    max_context_records: int = 10_000
    table_rows: int = 48
    """Rows of the line table: few, so that it evicts rows all the time."""
    ingest_s: float = 0.01
    new_line_s: float = 0.0
    """Time on the ingest thread for each line that is embedded."""
    score_s: float = 0.05
    revoke_budget_s: float = 5.0
    stuck_timeout_s: float = 60.0
    """Time after which the watchdog ends a member that does nothing."""
    lines_of_a_record: tuple[int, ...] = (1,)
    """The numbers of lines that a record may contain; blank and unreadable records contain none."""
    lines_of_an_event: tuple[int, ...] = (1,)
    """The numbers of records that may form one event: a first line, and indented lines of its service behind it."""
    calm_partitions: int = 0
    """The last partitions, in which no line is anomalous."""
    max_waiting_bytes: int = 64 * 1024 * 1024
    noisy_lines: int = 0
    """Lines of one more service in the first partition, each unlike all others, within two seconds."""
    noise_is_alone: bool = False
    """True: no other service logs into the first partition."""
    transactions: float = 0.0
    """Chance of a transaction's end at each burst of a producer: perhaps some aborted records, and a marker."""
    reports_incarnation: bool = True
    """False: brokers of an old version, which know no topic ids."""
    alert_bytes: int | None = None
    """Largest message that the alerts topic takes."""
    refusing: tuple[str, ...] = ()
    """Output topics that never take some of the messages."""
    joins: bool = True
    """False: no line waits for the next line of its event, so that services log in the order of their offsets."""
    keeps_state: bool = True
    """True: what services have learned is kept in a state topic."""
    checks_familiarity: bool = False
    """True: each scored window is compared with that of one member that reads everything and is never disturbed."""
    cut_bytes: int = 1_000
    """Input bytes of a partition between two cuts of its state."""
    before: int = 0
    """Records that the topic holds before the first member starts. If there are some, the group begins behind them."""
    learn_s: float = 3_600.0
    """Time for what is learned of them."""
    words: int = 12
    """Words that lines are made of: with few of them kinds of lines come again."""
    feedback: int = 0
    """Times at which people act on alerts. 0: the members follow no feedback."""
    feedback_from_s: float = 0.0
    """Time at which the feedback topic is created."""
    feedback_history: int = 1
    """Number of times that each old entry was written: many, where compaction never ran, take seconds to read."""
    crashing: float = 0.0
    """Chance that the process of a person dies in the middle of an act."""
    learning_lines: int = 0
    """Learning lines: 0 by default, so that every anomalous line has an alert."""


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="calm", members=1),
        Scenario(name="calm_state", members=1, joins=False, checks_familiarity=True, table_rows=4096),
        Scenario(
            name="state_events",
            members=3,
            checks_familiarity=True,
            table_rows=4096,
            deeds=("kill", "join", "restart"),
            deed_count=6,
            score_s=0.3,
        ),
        Scenario(
            name="state",
            members=3,
            lines=400,
            joins=False,
            checks_familiarity=True,
            table_rows=4096,
            deeds=("kill", "kill", "restart", "join", "cut", "deafen", "freeze", "stick_state"),
            deed_count=8,
            faults=ROUGH,
            score_s=0.3,
        ),
        Scenario(name="calm_first_start", members=1, joins=False, checks_familiarity=True, table_rows=4096, before=200),
        Scenario(
            name="first_start",
            members=3,
            lines=250,
            over_s=20.0,
            before=250,
            joins=False,
            checks_familiarity=True,
            table_rows=4096,
            max_poll_records=10,
            ingest_s=0.3,
            deeds=("kill", "kill", "join", "restart", "cut", "freeze"),
            deed_count=7,
            faults=ROUGH,
        ),
        Scenario(
            name="short_learning",
            members=2,
            before=400,
            learn_s=2.0,
            max_poll_records=5,
            ingest_s=0.3,
            deeds=("kill", "join", "restart"),
            deed_count=4,
        ),
        Scenario(name="calm_steps", members=1, step=3),
        Scenario(name="rough_broker", faults=ROUGH),
        Scenario(name="crashes", members=3, deeds=("kill",), deed_count=5, score_s=0.5),
        Scenario(name="rolling", members=3, deeds=("restart", "join"), deed_count=5, faults=ROUGH, revoke_budget_s=1.0),
        Scenario(name="zombies", members=3, deeds=("deafen", "cut"), deed_count=4),
        Scenario(name="retention", deeds=("truncate", "kill"), deed_count=5, score_s=0.5, max_context_records=40),
        Scenario(
            name="slow_model", lines=600, score_s=1.5, deeds=("join",), deed_count=3, over_s=8, revoke_budget_s=0.5
        ),
        Scenario(
            name="stuck_sink",
            partitions=2,
            anomalous=0.9,
            lines=250,
            over_s=15,
            faults=Faults(send_refused=0.95),
            deeds=("join", "restart"),
            deed_count=6,
            revoke_budget_s=0.5,
        ),
        Scenario(name="late_fetches", faults=Faults(fetch_late=0.6), deeds=("join", "restart"), deed_count=6),
        Scenario(
            name="slow_commits",
            faults=Faults(commit_slow=0.7),
            deeds=("join", "restart"),
            deed_count=6,
            revoke_budget_s=0.5,
        ),
        Scenario(
            name="many_lines",
            members=3,
            lines=150,
            lines_of_a_record=(1, 1, 3, 40),
            deeds=("kill", "join"),
            deed_count=5,
            faults=ROUGH,
        ),
        Scenario(name="calm_events", members=1, lines=150, lines_of_an_event=(1, 3, 12)),
        Scenario(
            name="events",
            members=3,
            lines=200,
            lines_of_an_event=(1, 1, 4, 12),
            deeds=("kill", "join", "restart", "cut"),
            deed_count=6,
            faults=ROUGH,
            score_s=0.3,
        ),
        Scenario(name="calm_many_lines", members=1, lines=80, lines_of_a_record=(1, 2, 40), step=3),
        Scenario(name="slow_ingest", ingest_s=1.0, deeds=("join",), deed_count=4, revoke_budget_s=0.5),
        Scenario(
            name="everything",
            members=3,
            deeds=("kill", "restart", "join", "cut", "deafen", "truncate"),
            deed_count=7,
            faults=ROUGH,
        ),
        Scenario(
            name="everything_steps",
            members=3,
            step=4,
            deeds=("kill", "restart", "join", "cut", "deafen"),
            deed_count=6,
            faults=ROUGH,
        ),
        Scenario(name="transactions", transactions=0.5, deeds=("kill", "join"), deed_count=4),
        Scenario(name="compaction", deeds=("compact", "kill", "restart"), deed_count=7, score_s=0.3),
        Scenario(
            name="recreated",
            deeds=("recreate", "recreate", "freeze", "cut", "kill", "join"),
            deed_count=7,
            score_s=0.3,
            faults=Faults(commit_slow=0.4),
        ),
        Scenario(name="damaged", deeds=("damage", "damage", "join", "kill"), deed_count=6),
        Scenario(
            name="outputs_fail",
            deeds=("stick", "lose", "join", "kill"),
            deed_count=6,
            faults=Faults(message_failed=0.1),
        ),
        Scenario(name="outages", deeds=("outage", "outage", "kill"), deed_count=3),
        Scenario(name="frozen", members=3, deeds=("freeze", "freeze", "join"), deed_count=6, score_s=0.3),
        Scenario(name="twins", members=3, deeds=("twin", "join"), deed_count=4),
        Scenario(
            name="noisy",
            members=1,
            noisy_lines=1500,
            new_line_s=0.004,
            max_in_flight_lines=3000,
            max_poll_records=500,
            table_rows=4096,
            over_s=15.0,
        ),
        Scenario(name="narrow_alerts", alert_bytes=1100, anomalous=0.4, deeds=("kill", "join"), deed_count=3),
        Scenario(
            name="refusals",
            refusing=("alerts", "dead-letters"),
            anomalous=0.4,
            deeds=("kill", "join", "stick"),
            deed_count=3,
            faults=ROUGH,
        ),
        Scenario(
            name="noisy_partition",
            members=1,
            noisy_lines=1500,
            noise_is_alone=True,
            new_line_s=0.004,
            max_in_flight_lines=600,
            max_poll_records=100,
            table_rows=4096,
            over_s=15.0,
        ),
        Scenario(
            name="noisy_crashes",
            members=3,
            lines=200,
            noisy_lines=600,
            noise_is_alone=True,
            new_line_s=0.01,
            max_in_flight_lines=2000,
            max_poll_records=200,
            table_rows=4096,
            over_s=12.0,
            deeds=("kill", "join", "deafen"),
            deed_count=5,
            revoke_budget_s=1.0,
        ),
        Scenario(
            name="stuck_alerts",
            members=1,
            calm_partitions=2,
            deeds=("stick_alerts", "lose_alerts"),
            deed_count=2,
            max_in_flight_lines=200,
        ),
        Scenario(name="calm_feedback", members=1, over_s=60.0, anomalous=0.4, words=1, feedback=14),
        Scenario(
            name="feedback",
            members=3,
            partitions=3,
            anomalous=0.4,
            words=1,
            feedback=14,
            over_s=60.0,
            deeds=("kill", "kill", "restart", "join", "cut", "freeze", "deafen"),
            deed_count=6,
            faults=ROUGH,
            score_s=0.3,
        ),
        Scenario(
            name="feedback_topic",
            feedback_from_s=15.0,
            anomalous=0.4,
            words=1,
            feedback=14,
            over_s=60.0,
            deeds=("stick_feedback", "lose_feedback", "compact_feedback", "outage", "kill", "restart"),
            deed_count=6,
        ),
        Scenario(
            name="feedback_history",
            anomalous=0.4,
            words=1,
            feedback=14,
            feedback_history=30,
            over_s=60.0,
            deeds=("kill", "restart"),
            deed_count=6,
        ),
        Scenario(
            name="feedback_crashes",
            anomalous=0.4,
            words=1,
            feedback=40,
            over_s=60.0,
            crashing=0.5,
            deeds=("compact_feedback", "kill", "restart"),
            deed_count=4,
            faults=ROUGH,
        ),
        Scenario(
            name="full_outputs",
            anomalous=0.6,
            max_waiting_bytes=10_000,
            max_in_flight_lines=2000,
            deeds=("stick", "stick", "join"),
            deed_count=4,
        ),
    )
}
