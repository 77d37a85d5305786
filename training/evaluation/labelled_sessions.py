"""Measures the judge of whole sessions, which is learned from labels, by the protocol of the literature.

Four fifths of the sessions are labelled, and the others are judged. A random choice is what is mostly published: nearly
every tested session then equals one that was learned. The order of their first lines is what a user meets. The seed
decides the random choice and the starts of the networks. The threshold is even odds. Baselines with labels learn from
the same sessions.

Legend: s sessions
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.sessions import pairs_of, vectors_of
from logwarden.training.evaluation.baselines import BASELINES, LineSessions
from logwarden.training.evaluation.session_results import Contest
from logwarden.training.head.sessions import train_sessions

LEARNED = 0.8
"""Share of the sessions whose labels are given."""
BASELINES_WITH_LABELS = tuple(name for name, one in BASELINES.items() if one.supervision == "labels")

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def learned_sessions(sessions: LineSessions, *, seed: int | None) -> Bools:
    """Returns (s,) True for the sessions to learn from: drawn by a seed, or with None the first of them in time."""
    count = len(sessions.anomalous)
    if seed is not None:
        order = np.random.default_rng(seed).permutation(count)
    else:
        first = np.full(count, len(sessions.ids))
        np.minimum.at(first, sessions.session, np.arange(len(sessions.ids)))
        order = np.argsort(first, kind="stable")
    learned = np.zeros(count, bool)
    learned[order[: round(LEARNED * count)]] = True
    return learned


def by_session_judge(
    model: ModelCheckpoint,
    sessions: LineSessions,
    learned: Bools,
    *,
    seed: int,
    method: str,
    advance: Callable[[], None] = lambda: None,
) -> Contest:
    """Trains the judge on the learned sessions (s,) and returns its scores of the others."""
    vectors = vectors_of(model.encoder, sessions.texts)
    pairs = pairs_of(sessions.session, sessions.ids, len(sessions.anomalous))
    judge = train_sessions(vectors, pairs, sessions.anomalous, learned, seed=seed, advance=advance)
    scores = judge.log_odds(vectors, pairs)[~learned]
    return Contest(method=method, supervision="labels", scores=scores, threshold=0.0)


def by_baseline(name: str, sessions: LineSessions, learned: Bools, seed: int) -> Contest:
    """Returns the scores of a baseline with labels on the same sessions. Its threshold is an even chance."""
    scores = BASELINES[name].score(sessions.select(learned), sessions.select(~learned), seed)
    return Contest(method=name, supervision="labels", scores=scores, threshold=0.5)
