"""The parts of the benchmark: its cache, Drain, changes of the head, explanations, ablations, plots and document."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from logwarden.model.checkpoint import SHIPPED, load_checkpoint, load_decision
from logwarden.model.decision import INPUTS
from logwarden.training.benchmark.ablations import ALL, TwinTask, twins_without, without
from logwarden.training.benchmark.cache import Cache, stamp_of
from logwarden.training.benchmark.captures import HEAD_CHANGES, RememberingScorer, capture, without_levels
from logwarden.training.benchmark.drain import Drain
from logwarden.training.benchmark.figures import rounded
from logwarden.training.benchmark.guilt import first_alerts
from logwarden.training.benchmark.methods import AT, one_liners, rarity_of_groups
from logwarden.training.benchmark.plots import Axis, chart
from logwarden.training.benchmark.runs import judged_run
from logwarden.training.benchmark.youth import monotone_services, young_services
from logwarden.training.faultlab.labels import load_labels
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.faultlab.release import RECORDINGS, LabelledRun
from logwarden.training.head.judging import TWINS, PastViews, TrainingRows


@pytest.fixture(scope="module")
def squid() -> list[LabelledRun]:
    """Two runs of the smallest system of the release."""
    runs = []
    for number in (1, 2):
        folder = RECORDINGS / "squid" / str(number)
        tape = load_recording(folder)
        runs.append(
            LabelledRun(
                system="squid",
                repetition=number,
                recording=tape,
                labels=load_labels(tape, folder),
                by_time="test",
                by_system="test",
            )
        )
    return runs


@pytest.fixture(scope="module")
def views(squid: list[LabelledRun]) -> PastViews:
    model = replace(load_checkpoint(SHIPPED), decision=load_decision(TWINS / "squid.safetensors"))
    return PastViews(model, squid, scorer=RememberingScorer(model))


def test_what_was_computed_is_not_computed_again(tmp_path: Path) -> None:
    """A second run takes the result, another stamp makes a new one and removes the old, no folder keeps nothing."""
    calls: list[int] = []

    def make() -> dict[str, int]:
        calls.append(1)
        return {"n": len(calls)}

    cache = Cache(tmp_path)
    first, second = stamp_of(["a"]), stamp_of(["b"])
    assert [cache.values("x", stamp, make)["n"] for stamp in (first, first, second)] == [1, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == [f"x.{second}.json"]
    assert Cache(None).values("x", second, make) == {"n": 3}
    stored = cache.arrays("y", first, lambda: {"a": np.arange(3)})
    assert stored["a"].tolist() == cache.arrays("y", first, dict)["a"].tolist() == [0, 1, 2]


def test_a_stamp_changes_with_every_byte(tmp_path: Path) -> None:
    """A file below a folder is part of the folder's stamp."""
    (tmp_path / "a.py").write_text("1")
    before = stamp_of([tmp_path])
    (tmp_path / "a.py").write_text("2")
    assert stamp_of([tmp_path]) != before


def test_drain_groups_by_length_and_first_word() -> None:
    """Lines that differ in one word of three share a group; another first word or length begins one."""
    lines = ["open file alpha", "open file beta", "close file alpha", "open file alpha now", "open file 17"]
    assert Drain().groups(lines) == [1, 1, 2, 3, 1]


def test_captures_are_what_training_reads(views: PastViews) -> None:
    """Embeddings that are remembered change nothing, and every change of the head changes answers and is undone."""
    found = capture(views, 1, "peace", HEAD_CHANGES)
    inputs, _ = PastViews(views.scorer.checkpoint, [run.labels for run in views.runs]).inputs(1, "peace")
    np.testing.assert_allclose(found.inputs, inputs, atol=1e-5)
    margin = found.inputs[:, AT["margin"]]
    assert all(np.abs(found.margins[change] - margin).max() > 0.01 for change in HEAD_CHANGES)
    assert np.abs(capture(views, 1, "peace").inputs - found.inputs).max() == 0


def test_lines_without_a_level_word_keep_their_labels(squid: list[LabelledRun]) -> None:
    """The word that states a severity is removed, and nothing else of a run."""
    plain = without_levels(squid)[0]
    assert plain.labels is squid[0].labels
    changed = sum(a.text != b.text for a, b in zip(plain.recording.lines, squid[0].recording.lines, strict=True))
    assert changed > 0
    assert all(len(a.text) <= len(b.text) for a, b in zip(plain.recording.lines, squid[0].recording.lines, strict=True))


def test_rules_stay_silent_where_they_do_not_fire(squid: list[LabelledRun]) -> None:
    """The keyword rule ranks only new lines with a keyword, and rarity of groups grows with what the past knows."""
    run = judged_run(squid[1])
    inputs = np.zeros((len(run.times), len(INPUTS)), np.float32)
    inputs[:, AT["log_age"]] = 12
    inputs[::2, AT["log_count"]] = 1
    rule = one_liners(inputs, run)["keyword in a new line"]
    assert ((rule.scores == 1) == (run.keyword & (inputs[:, AT["log_count"]] == 0))).all()
    service = np.zeros(3, np.int64)
    rarity = rarity_of_groups([(np.array([1, 1, 1]), service), (np.array([1, 2, 1]), service)]).scores
    assert rarity.tolist() == [0.0, pytest.approx(np.log2(5)), pytest.approx(np.log2(6 / 5))]


def test_first_alerts_are_explained(views: PastViews, squid: list[LabelledRun]) -> None:
    """Most first alerts name the first evidence, and the score falls faster by weight than at random."""
    alerts = first_alerts(views, 1, "peace", judged_run(squid[1]), 0.5)
    assert len(alerts) >= 6
    assert len({one.fault for one in alerts}) == len(alerts)
    assert all(one.by_weight[0] == pytest.approx(one.at_random[0]) and one.by_weight[0] >= 0.5 for one in alerts)
    assert np.mean([np.mean(np.subtract(one.at_random, one.by_weight)) for one in alerts]) > 0.1
    assert sum(one.named for one in alerts) >= len(alerts) / 2


def test_young_services_are_judged_by_few_lines(views: PastViews, squid: list[LabelledRun]) -> None:
    """At each age some faults are found, and false alarms are counted on a thousand lines of each service."""
    decision = load_decision(TWINS / "squid.safetensors")
    runs = [judged_run(run) for run in squid]
    results = young_services(views, runs, 1, decision, views.scorer.checkpoint.calibration)
    assert [one.age for one in results] == [50, 200, 1000]
    assert all(0 < one.found <= one.faults and one.normal <= 1000 * runs[1].services * len(runs) for one in results)


def test_a_monotone_service_is_not_deaf() -> None:
    """After 200, 1,000 and 5,000 lines of three kinds, five failures raise five alerts and ten new lines none."""
    for one in monotone_services(load_checkpoint()):
        assert (one.failures_found, one.harmless_alerts) == (5, 0), one


def test_an_input_that_never_varies_is_asked_by_no_tree(tmp_path: Path) -> None:
    """Trees without an input have no question about it, and twins come from the cache as they were grown."""
    chance = np.random.default_rng(0)
    inputs = chance.uniform(0, 10, (600, len(INPUTS))).astype(np.float32)
    rows = TrainingRows(inputs, (inputs[:, AT["surprise"]] > 5).astype(np.int64), np.ones(600))
    systems = {"a": rows, "b": replace(rows, inputs=inputs[::-1].copy(), labels=rows.labels[::-1].copy()), "c": rows}
    assert without(rows, ALL) is rows
    for dropped, asked in ((ALL, True), ("surprise", False)):
        task = TwinTask(systems, dropped, tmp_path)
        trees, again = twins_without(task)["a"], twins_without(task)["a"]
        questions = np.isfinite(trees.bounds)
        assert (AT["surprise"] in trees.inputs[questions]) is asked
        assert (trees.leaves == again.leaves).all()


def test_a_plot_is_well_formed_and_stays_in_its_frame() -> None:
    """Names are escaped, points beyond an axis lie on its end, and the same points give the same bytes."""
    axis = Axis("a < b", 1, 100, (1, 10, 100), log=True)
    rising, lines = Axis("y", 0, 10, (0, 5, 10)), {"one": [(0.1, 2.0), (1000.0, 20.0)], "dot": [(10.0, 5.0)]}
    text = chart("T & T", axis, rising, lines, (10,))
    ElementTree.fromstring(text)
    assert 'd="M60.0 304.0L570.0 40.0"' in text
    assert text == chart(
        "T & T", axis, Axis("y", 0, 10, (0, 5, 10)), {"one": [(0.1, 2), (1000, 20)], "dot": [(10, 5)]}, (10,)
    )


def test_figures_lose_the_last_bits() -> None:
    """Numbers keep five significant places wherever they lie; whole numbers and words stay."""
    assert rounded({"a": [0.123456789, 7, "x"], "b": (1e-9,)}) == {"a": [0.12346, 7, "x"], "b": [1e-9]}
    assert json.dumps(rounded({"n": 123456.7})) == '{"n": 123460.0}'
