"""The trivial detectors every result is printed beside: keywords, surprise, new events, neighbours, trees, TF-IDF.

They see sequences of masked line ids and, at most, the texts behind the ids. A model that does not beat them on the
same split has earned nothing. Knows neither recordings nor the model under test; nothing here is tuned on a test set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from logwarden.training.metrics import Scores
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.tree import DecisionTreeClassifier

Ids = npt.NDArray[np.int32]

# The list that operators write; it knows nothing of any recording. Not anchored: "TimeoutException" counts.
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
    """(lines,) which session a line belongs to, from 0 on; sessions may be interleaved."""
    service: Ids
    """(lines,) whose history a line counts in."""
    anomalous: npt.NDArray[np.bool_]
    """(sessions,)"""
    texts: Sequence[str]
    """Canonical text by id, shared by the training and the test part."""

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.session) == len(self.service), "every line has a session and a service"

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(sessions,) lines of each session."""
        return np.bincount(self.session, minlength=len(self.anomalous))

    def counts(self) -> csr_matrix:
        """(sessions, texts) how often each masked line occurs in each session."""
        shape = (len(self.anomalous), len(self.texts))
        return csr_matrix((np.ones(len(self.ids), np.float32), (self.session, self.ids)), shape=shape)

    def select(self, chosen: npt.NDArray[np.bool_]) -> LineSessions:
        """Only these sessions (boolean, one per session), renumbered in order; lines keep their order."""
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
    """(n,) how often each key occurred earlier in the array."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
    before = np.empty(len(keys), np.int64)
    before[order] = np.arange(len(keys)) - starts
    return before


def surprises(ids: Ids, service: Ids) -> npt.NDArray[np.float32]:
    """(lines,) bits: log2((lines of the service so far + 1) / (times this line was among them + 1))."""
    age = occurrences_before(service)
    both = service.astype(np.int64) * (int(ids.max(initial=0)) + 1) + ids
    return np.log2((age + 1) / (occurrences_before(both) + 1)).astype(np.float32)


def pool_max(values: npt.NDArray[np.floating], session: Ids, sessions: int) -> Scores:
    """(sessions,) the largest value of each; 0 for a session without lines."""
    pooled = np.zeros(sessions, np.float64)
    np.maximum.at(pooled, session, values)
    return pooled


def pool_top(values: npt.NDArray[np.floating], session: Ids, sessions: int, *, k: int = 4) -> Scores:
    """(sessions,) mean of the `k` largest values of each; a shorter session counts as padded with zeros."""
    order = np.lexsort((-values, session))
    rank = occurrences_before(session[order])
    top = order[rank < k]
    return (np.bincount(session[top], weights=values[top], minlength=sessions) / k).astype(np.float64)


def keyword_any(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """1 when any line holds a keyword."""
    return (keyword_lines(train, test, seed) > 0).astype(np.float64)


def keyword_lines(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """How many lines hold a keyword."""
    marked = np.array([KEYWORDS.search(text) is not None for text in test.texts], bool)
    return np.bincount(test.session, weights=marked[test.ids], minlength=len(test.anomalous)).astype(np.float64)


def session_length(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Distance of the length from the training median: the least a detector must beat where failures stop early."""
    return np.abs(test.lengths - np.median(train.lengths)).astype(np.float64)


def max_surprise(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """The most surprising line, its history being the training lines and the test lines before it."""
    return pool_max(_test_surprises(train, test), test.session, len(test.anomalous))


def top_surprise(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Mean of the four most surprising lines, with the same history."""
    return pool_top(_test_surprises(train, test), test.session, len(test.anomalous))


def new_event_or_length(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """1 for a line never seen in normal training sessions, plus up to 1 for an unusual length (Landauer et al.)."""
    normal = train.select(~train.anomalous)
    known = np.zeros(len(test.texts), bool)
    known[normal.ids] = True
    new = pool_max((~known[test.ids]).astype(np.float64), test.session, len(test.anomalous))
    off = np.abs(test.lengths - np.median(normal.lengths))
    usual = np.median(np.abs(normal.lengths - np.median(normal.lengths))) + 1
    return np.asarray(new + off / (off + 3 * usual), np.float64)


def nearest_normal(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """1-NN: Euclidean distance of the count vector to the nearest normal training session."""
    normal = _distinct_rows(train.counts()[~train.anomalous])
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(normal)
    return np.asarray(neighbours.kneighbors(test.counts())[0][:, 0], np.float64)


def decision_tree(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """A decision tree on count vectors, with labels: .999 F1 on a random split of HDFS."""
    tree = DecisionTreeClassifier(random_state=seed).fit(train.counts(), train.anomalous)
    return np.asarray(tree.predict_proba(test.counts())[:, 1], np.float64)


def tfidf_logistic(train: LineSessions, test: LineSessions, seed: int = 0) -> Scores:
    """Logistic regression on TF-IDF of the words, with labels. Words carry over to lines never seen in training."""
    words = CountVectorizer(token_pattern=r"(?u)\b[a-zA-Z]{2,}\b", dtype=np.float32).fit_transform(test.texts)
    weigh = TfidfTransformer(sublinear_tf=True)
    fitted = weigh.fit_transform(train.counts() @ words)
    regression = LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed)
    regression.fit(fitted, train.anomalous)
    return np.asarray(regression.predict_proba(weigh.transform(test.counts() @ words))[:, 1], np.float64)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A scorer of test sessions and the supervision it was given."""

    supervision: str
    """none / normal only / labels"""
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
    """Most sessions repeat another one; the nearest neighbour is the same without the copies."""
    rows = rows.tocsr()
    rows.sum_duplicates()
    rows.sort_indices()
    seen: dict[bytes, int] = {}
    for number in range(rows.shape[0]):
        part = slice(rows.indptr[number], rows.indptr[number + 1])
        seen.setdefault(rows.indices[part].tobytes() + rows.data[part].tobytes(), number)
    return rows[sorted(seen.values())]
