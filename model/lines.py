"""Masked line → line id: the dictionary in front of the line table.

A line id is a row of the line table, where BERT's embedding of the masked line lies. Two levels: the exact bytes of the
fast masking → id, and, for bytes not met before, the canonical text → id. Only a text met for the first time costs an
embedding. Bounded: when no row is free, the rows longest unused are given up, except those that a ring or an unscored
window still refers to. If even that frees nothing, a line gets the overflow row, which knows nothing, and is counted.

Knows nothing of windows, services or Kafka; BERT is a function that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from logwarden.model.arrays import Floats, Ids, Ints
from logwarden.model.masking import canonical, line_hash

PADDING = 0
OVERFLOW = 1
_RESERVED = 2
_EVICTED_SHARE = 4  # give up a quarter of the table at once: finding the victims costs a scan
_KEYS_PER_ROW = 8  # exact forms remembered for each row; beyond that, the second level answers

Encode = Callable[[Sequence[str]], Floats]
"""Texts → embeddings (n, D), each row of length 1."""
LiveIds = Callable[[], Ids]
"""Ids that a ring or an unscored window refers to; an id may occur more than once."""
Store = Callable[[Ints, Floats], None]
"""Ids (n,) and their embeddings (n, D) → the place where windows are scored."""


@dataclass(slots=True)
class LineCounts:
    """Facts for the metrics; they only grow."""

    embedded: int = 0
    evicted: int = 0
    overflowed: int = 0


class LineTable:
    """Ids and embeddings of at most `rows` distinct lines at a time: all that a stream has of its model.

    `encode` is called with the texts that are new, once per batch; `store(ids, embeddings)` receives the results
    before any window can refer to them. Serves one stream: a row that another stream refers to would not be known here
    as alive.
    """

    def __init__(self, rows: int, encode: Encode, store: Store) -> None:
        if rows <= _RESERVED:
            raise ValueError(f"the line table needs more than {_RESERVED} rows, not {rows}")
        self._encode = encode
        self._store = store
        self._by_key: dict[bytes, int] = {}
        self._by_text: dict[str, int] = {}
        self._by_hash: dict[int, int] = {}
        self._texts: list[str] = [""] * rows
        self._hashes = np.zeros(rows, np.int64)
        self._last_used = np.zeros(rows, np.int64)
        self._free = list(range(rows - 1, _RESERVED - 1, -1))
        self._embeddings: Floats | None = None
        self._batch = 0
        self.counts = LineCounts()

    def __len__(self) -> int:
        return len(self._by_text)

    def text(self, line_id: int) -> str:
        """The canonical text of a row; empty for padding and overflow."""
        return self._texts[line_id]

    def lookup(self, keys: list[bytes], live_ids: LiveIds) -> tuple[Ids, Ints]:
        """Ids (n,) and stable hashes (n,) of n first-level keys; embeds what is new.

        `live_ids` is called only if rows must be evicted, which is never one that it names.
        """
        self._batch += 1
        found = list(map(self._by_key.get, keys))
        hashes: Ints
        if None in found:
            missing = [i for i, line_id in enumerate(found) if line_id is None]
            overflow = self._add(keys, missing, found, live_ids)
            ids = np.array(found, np.int32)
            hashes = self._hashes[ids]
            for i, text in overflow.items():  # no row for them, but their history is kept all the same
                hashes[i] = line_hash(text)
        else:
            ids = np.array(found, np.int32)
            hashes = self._hashes[ids]
        self._last_used[ids] = self._batch
        return ids, hashes

    def known(self, hashes: Ints) -> Ints:
        """Ids of those of these lines that are in the table now."""
        ids = map(self._by_hash.get, hashes.tolist())
        return np.array([line_id for line_id in ids if line_id is not None], np.int64)

    def embeddings(self, ids: Ints) -> Floats:
        """Embeddings (n, D) of rows, on the host; zero for padding and overflow."""
        assert self._embeddings is not None, "a line was looked up before its embedding is asked for"
        return np.asarray(self._embeddings[ids])

    def _add(self, keys: list[bytes], missing: list[int], found: list[int | None], live_ids: LiveIds) -> dict[int, str]:
        """Fills `found` at the missing places; returns the texts of lines that got no row, by place."""
        texts = {key: canonical(key) for key in {keys[i] for i in missing}}
        # In stream order, so that ids do not depend on how a set happens to iterate.
        new = list(dict.fromkeys(t for t in (texts[keys[i]] for i in missing) if t not in self._by_text))
        if len(new) > len(self._free):
            in_use = [live_ids(), np.array([line_id for line_id in found if line_id is not None], np.int32)]
            self._evict(len(new), {texts[keys[i]] for i in missing}, np.concatenate(in_use))
        rows = [self._free.pop() for _ in new[: len(self._free)]]
        placed = new[: len(rows)]
        if placed:
            self._place(placed, rows)
        if len(self._by_key) > _KEYS_PER_ROW * len(self._texts):
            self._by_key.clear()
        overflow: dict[int, str] = {}
        for i in missing:
            text = texts[keys[i]]
            line_id = found[i] = self._by_text.get(text, OVERFLOW)
            if line_id == OVERFLOW:
                overflow[i] = text
            else:
                self._by_key[keys[i]] = line_id
        self.counts.overflowed += len(overflow)
        return overflow

    def _place(self, texts: list[str], rows: list[int]) -> None:
        vectors = self._encode(texts)
        assert len(vectors) == len(texts), "the encoder answers every text"
        if self._embeddings is None:
            self._embeddings = np.zeros((len(self._texts), vectors.shape[1]), np.float32)
        at = np.array(rows, np.int64)
        self._embeddings[at] = vectors
        self._store(at, vectors)
        self.counts.embedded += len(texts)
        for row, text in zip(rows, texts, strict=True):
            self._texts[row] = text
            self._by_text[text] = row
            self._hashes[row] = line_hash(text)
            self._by_hash[int(self._hashes[row])] = row

    def _evict(self, wanted: int, current: set[str], in_use: Ids) -> None:
        """Gives up the rows longest unused that nothing alive refers to."""
        alive = np.zeros(len(self._texts), bool)
        alive[:_RESERVED] = True
        alive[self._free] = True
        alive[in_use] = True
        alive[[row for row in map(self._by_text.get, current) if row is not None]] = True
        candidates = np.flatnonzero(~alive)
        count = max(wanted - len(self._free), len(self._texts) // _EVICTED_SHARE)
        victims = candidates[np.argsort(self._last_used[candidates], kind="stable")][:count]
        gone = set(victims.tolist())
        for row in victims.tolist():
            del self._by_text[self._texts[row]]
            del self._by_hash[int(self._hashes[row])]
            self._texts[row] = ""
        self._by_key = {key: row for key, row in self._by_key.items() if row not in gone}
        self._free.extend(victims.tolist())
        self.counts.evicted += len(victims)
