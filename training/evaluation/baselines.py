"""Trivial detectors for every table: keywords, surprise, new events, neighbours, trees, TF-IDF.

Their input is sequences of masked line ids and, at most, the texts of the ids. A model is only worth its cost if it
beats them on the same split. Knows neither recordings nor the model under test; no detector is tuned on a test set."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.tree import DecisionTreeClassifier

from logwarden.training.metrics import Scores

Ids = npt.NDArray[np.int32]

# The list that operators write, chosen without looking at a recording. Not anchored: "TimeoutException" counts.
KEYWORDS = re.compile(
    r"(?i)error|exception|fail|fatal|critical|panic|abort|traceback|denied|refused|timed? ?out|unable|cannot|invalid"
    r"|corrupt|unreachable|warn"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSessions:
    """Labelled sessions (blocks, rounds, windows) whose lines are ids into `texts`, in the order of their arrival."""

    ids: Ids
    """(lines,) masked line of each line."""
    session: Ids
    """(lines,) session of each line, from 0 on; sessions may be interleaved."""
    service: Ids
    """(lines,) service in whose history a line counts."""
    anomalous: npt.NDArray[np.bool_]
    """(sessions,) labels."""
    texts: Sequence[str]
    """Canonical text by id, shared by the training and the test part."""

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.session) == len(self.service), "every line has a session and a service"

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Returns (sessions,) the number of lines of each session."""
        return np.bincount(self.session, minlength=len(self.anomalous))

    def counts(self) -> csr_matrix:
        """Returns (sessions, texts) the occurrences of each masked line in each session."""
        shape = (len(self.anomalous), len(self.texts))
        return csr_matrix((np.ones(len(self.ids), np.float32), (self.session, self.ids)), shape=shape)

    def select(self, chosen: npt.NDArray[np.bool_]) -> LineSessions:
        """Returns only these sessions (boolean, one per session), renumbered in order; lines keep their order."""
        # chosen [T, F, T] -> number [0, 0, 1]: session 2 becomes session 1.
        kept = chosen[self.session]
        number = (np.cumsum(chosen) - 1).astype(np.int32)
        return LineSessions(
            ids=self.ids[kept],
            session=number[self.session[kept]],
            service=self.service[kept],
            anomalous=self.anomalous[chosen],
            texts=self.texts,
        )


def occurrences_before(keys: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Returns (n,) the number of earlier occurrences of each key."""
    # A stable sort brings equal keys together; the place within the group is the number of earlier ones:
    #   keys     [7, 3, 7, 7]
    #   ordered  [3, 7, 7, 7]    order [1, 0, 2, 3]
    #   starts   [0, 1, 1, 1]    where the group of each begins
    #   before   [0, 0, 1, 2]    place - start, written back by order
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
    before = np.empty(len(keys), np.int64)
    before[order] = np.arange(len(keys)) - starts
    return before


def surprises(ids: Ids, service: Ids) -> npt.NDArray[np.float32]:
    """Returns (lines,) bits: log2((earlier lines of the service + 1) / (earlier occurrences of this line + 1))."""
    age = occurrences_before(service)
    # One number for each (service, line): with five ids, line 3 of service 2 is 2 · 5 + 3 = 13.
    both = service.astype(np.int64) * (int(ids.max(initial=0)) + 1) + ids
    return np.log2((age + 1) / (occurrences_before(both) + 1)).astype(np.float32)


def pool_max(values: npt.NDArray[np.floating], session: Ids, sessions: int) -> Scores:
    """Returns (sessions,) the largest value of each; 0 for a session without lines."""
    pooled = np.zeros(sessions, np.float64)
    np.maximum.at(pooled, session, values)
    return pooled


def pool_top(values: npt.NDArray[np.floating], session: Ids, sessions: int, *, k: int = 4) -> Scores:
    """Returns (sessions,) the mean of the `k` largest values of each; a shorter session is padded with zeros."""
    # Sorted by session and falling value, the rank within a session selects the largest; k = 2:
    #   session [0, 1, 0, 0], values [1, 4, 3, 2] -> order [2, 3, 0, 1], rank [0, 1, 2, 0], top [2, 3, 1]
    #   pooled  [(3 + 2) / 2, 4 / 2]
    order = np.lexsort((-values, session))
    rank = occurrences_before(session[order])
    top = order[rank < k]
    return (np.bincount(session[top], weights=values[top], minlength=sessions) / k).astype(np.float64)


def keyword_any(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns 1 for a session with a keyword in any line, else 0."""
    return (keyword_lines(train, test, seed) > 0).astype(np.float64)


def keyword_lines(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Counts the lines with a keyword."""
    marked = np.array([KEYWORDS.search(text) is not None for text in test.texts], bool)
    return np.bincount(test.session, weights=marked[test.ids], minlength=len(test.anomalous)).astype(np.float64)


def session_length(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns the distance of the length from the training median: a low bar where failures end sessions early."""
    return np.abs(test.lengths - np.median(train.lengths)).astype(np.float64)


def max_surprise(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns the surprise of the most surprising line; its history is the training and the earlier test lines."""
    return pool_max(_test_surprises(train, test), test.session, len(test.anomalous))


def top_surprise(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns the mean surprise of the four most surprising lines, with the history of `max_surprise`."""
    return pool_top(_test_surprises(train, test), test.session, len(test.anomalous))


def new_event_or_length(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns 1 for a line unknown to normal training sessions, plus up to 1 for the length (Landauer et al.)."""
    normal = train.select(~train.anomalous)
    known = np.zeros(len(test.texts), bool)
    known[normal.ids] = True
    new = pool_max((~known[test.ids]).astype(np.float64), test.session, len(test.anomalous))
    off = np.abs(test.lengths - np.median(normal.lengths))
    usual = np.median(np.abs(normal.lengths - np.median(normal.lengths))) + 1
    return np.asarray(new + off / (off + 3 * usual), np.float64)


def nearest_normal(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Returns the Euclidean distance of the count vector to the nearest normal training session (1-NN)."""
    normal = _distinct_rows(train.counts()[~train.anomalous])
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(normal)
    return np.asarray(neighbours.kneighbors(test.counts())[0][:, 0], np.float64)


def decision_tree(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Scores with a decision tree on count vectors, with labels: .999 F1 on a random split of HDFS."""
    tree = DecisionTreeClassifier(random_state=seed).fit(train.counts(), train.anomalous)
    return np.asarray(tree.predict_proba(test.counts())[:, 1], np.float64)


def tfidf_logistic(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Scores by logistic regression on TF-IDF of words, with labels: unknown lines share words with known ones."""
    words = CountVectorizer(token_pattern=r"(?u)\b[a-zA-Z]{2,}\b", dtype=np.float32).fit_transform(test.texts)
    weigh = TfidfTransformer(sublinear_tf=True)
    fitted = weigh.fit_transform(train.counts() @ words)
    regression = LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed)
    regression.fit(fitted, train.anomalous)
    return np.asarray(regression.predict_proba(weigh.transform(test.counts() @ words))[:, 1], np.float64)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A scorer of test sessions and its supervision."""

    supervision: str
    """none, normal only or labels"""
    score: Callable[[LineSessions, LineSessions, int], Scores]


BASELINES: dict[str, Baseline] = {
    "keyword in any line": Baseline("none", keyword_any),
    "lines with keyword": Baseline("none", keyword_lines),
    "length": Baseline("none", session_length),
    "max surprise": Baseline("none", max_surprise),
    "top-4 surprise": Baseline("none", top_surprise),
    "new event + length": Baseline("normal only", new_event_or_length),
    "1-NN": Baseline("normal only", nearest_normal),
    "decision tree": Baseline("labels", decision_tree),
    "TF-IDF + logistic regression": Baseline("labels", tfidf_logistic),
}


def _test_surprises(train: LineSessions, test: LineSessions) -> npt.NDArray[np.float32]:
    ids = np.concatenate([train.ids, test.ids])
    service = np.concatenate([train.service, test.service])
    return surprises(ids, service)[len(train.ids) :]


def _distinct_rows(rows: csr_matrix) -> csr_matrix:
    """Removes repeated rows: most sessions repeat another one, and the nearest distance is the same without them."""
    rows = rows.tocsr()
    rows.sum_duplicates()
    rows.sort_indices()
    seen: dict[bytes, int] = {}
    for number in range(rows.shape[0]):
        part = slice(rows.indptr[number], rows.indptr[number + 1])
        seen.setdefault(rows.indices[part].tobytes() + rows.data[part].tobytes(), number)
    return rows[sorted(seen.values())]
