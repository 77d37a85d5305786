"""The line table: masked line → line id, and the embedding that belongs to it.

A line id is a row of the table. Two levels lead to it: from the exact bytes of the fast masking, and, for new bytes,
from the canonical text. Only a new text costs an embedding. Bounded: when no row is free, the rows longest unused are
evicted, except those that a ring or an unscored window refers to. A line that gets no row even then is counted, and
its id is the overflow row, whose embedding is zero.

Knows nothing of windows, services or Kafka. BERT is a function that it is given.

Legend: n lines of a batch · D width of an embedding
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ids, Ints
from logwarden.model.evidence import announcements, connections, severities
from logwarden.model.mask_own import OwnRule
from logwarden.model.masking import VERSION, canonical, line_hash

PADDING = 0
"""Id of the places of a window that no line fills."""
OVERFLOW = 1
"""Id of a line for which the table had no row."""
_RESERVED = 2
_EVICTED_SHARE = 4  # evict a quarter of the table at once, because the choice costs a scan
_LONG_KEY = 256  # bytes; a longer key is kept as its digest, so that a bound on keys is a bound on memory
_KEYS_PER_ROW = 8  # exact forms kept for each row on average; without its key a line is found by its text

Encode = Callable[[Sequence[str]], Floats]
"""Turns texts into embeddings (n, D), each of length 1."""
LiveIds = Callable[[], Ids]
"""Returns the ids that a ring or an unscored window refers to, some of them repeatedly."""
Store = Callable[[Ints, Floats, Sequence[str]], None]
"""Puts embeddings (n, D) of texts (n) under their ids (n,) where windows are scored."""


@dataclass(slots=True)
class LineCounts:
    """Counters for the metrics."""

    embedded: int = 0
    evicted: int = 0
    overflowed: int = 0


class LineTable:
    """Ids and embeddings of at most `rows` distinct lines at a time: the model half of a stream's state.

    `encode` is called with the new texts, once per batch. `store(ids, embeddings, texts)` receives the results before
    any window can refer to them. `masks` are the user's own. A table serves one stream, because only one stream
    names the ids that must not be evicted.
    """

    def __init__(self, rows: int, encode: Encode, store: Store, *, masks: Sequence[OwnRule] = ()) -> None:
        if rows <= _RESERVED:
            raise ValueError(f"the line table needs more than {_RESERVED} rows, not {rows}")
        self._encode = encode
        self._store = store
        self._masks = masks
        self._by_key: dict[bytes, int] = {}
        self._by_text: dict[str, int] = {}
        self._by_hash: dict[int, int] = {}
        self._texts: list[str] = [""] * rows
        self._hashes = np.zeros(rows, np.int64)
        self._severe = np.zeros(rows, bool)
        self._level = np.zeros(rows, np.int64)
        self._refused = np.zeros(rows, bool)
        self._announces = np.zeros(rows, bool)
        self._connects = np.zeros(rows, bool)
        self._last_used = np.zeros(rows, np.int64)
        self._free = list(range(rows - 1, _RESERVED - 1, -1))
        self._embeddings: Floats | None = None
        self._batch = 0
        self.counts = LineCounts()

    def __len__(self) -> int:
        return len(self._by_text)

    def __contains__(self, key: object) -> bool:
        """Returns True if a first-level key is known to lead to a row. May be False for a key of a text with a row."""
        return isinstance(key, bytes) and _stored(key) in self._by_key

    @property
    def fingerprint(self) -> str:
        """Name of the masking: lines under another one have other texts and hashes."""
        rules = [str(VERSION), *(pattern.pattern for pattern, _ in self._masks)]
        return hashlib.blake2b("\n".join(rules).encode(), digest_size=8).hexdigest()

    def text(self, line_id: int) -> str:
        """Returns the canonical text of a row; empty for padding and overflow."""
        return self._texts[line_id]

    def severities(self, ids: Ids) -> tuple[Bools, Ints, Bools]:
        """Returns (n,) whether each of these lines is severe, its level, and whether it refuses: see `severities`."""
        return self._severe[ids], self._level[ids], self._refused[ids]

    def announcements(self, ids: Ids) -> Bools:
        """Returns (n,) whether each of these lines is about a planned stop; see `evidence.announcements`."""
        return np.asarray(self._announces[ids])

    def connections(self, ids: Ids) -> Bools:
        """Returns (n,) whether each of these lines is about the connection to another process."""
        return np.asarray(self._connects[ids])

    def lookup(self, keys: list[bytes], live_ids: LiveIds) -> tuple[Ids, Ints]:
        """Returns ids (n,) and stable hashes (n,) of n first-level keys. Embeds the new texts among them.

        `live_ids` is called only when rows are evicted, and no id that it returns is among these.
        """
        # Known keys cost one dictionary look-up each, and then two array operations for the whole batch.
        self._batch += 1
        found = self._found(keys)
        hashes: Ints
        if None in found:
            missing = [i for i, line_id in enumerate(found) if line_id is None]
            overflow = self._add(keys, missing, found, live_ids)
            ids = np.array(found, np.int32)
            hashes = self._hashes[ids]
            for i, text in overflow.items():  # a line without a row still has a name, so its history is kept
                hashes[i] = line_hash(text)
        else:
            ids = np.array(found, np.int32)
            hashes = self._hashes[ids]
        self._last_used[ids] = self._batch
        return ids, hashes

    def ids_of(self, texts: Sequence[str], live_ids: LiveIds) -> Ids:
        """Returns ids (n,) of n canonical texts, such as those of a restored service. Embeds the new ones among them.

        An empty text has the id of the overflow row. `live_ids`: see `lookup`.
        """
        self._batch += 1
        new = list(dict.fromkeys(text for text in texts if text and text not in self._by_text))
        self._give_rows(new, set(texts), live_ids)
        ids = np.array([self._by_text.get(text, OVERFLOW) for text in texts], np.int32)
        self._last_used[ids] = self._batch
        return ids

    def texts_of(self, hashes: Ints) -> list[str]:
        """Returns the canonical texts of lines by their hashes; empty for a line that is not in the table now."""
        rows = map(self._by_hash.get, hashes.tolist())
        return ["" if row is None else self._texts[row] for row in rows]

    def unknown(self, keys: list[bytes]) -> list[int]:
        """Returns the places of the keys, of n, whose text has no row: to look them up would cost an embedding each.

        Remembers the other keys, so that a later `lookup` finds them at once.
        """
        found = self._found(keys)
        if None not in found:
            return []
        texts: dict[bytes, str] = {}
        unknown: list[int] = []
        for place in (place for place, line_id in enumerate(found) if line_id is None):
            key = keys[place]
            text = texts[key] if key in texts else texts.setdefault(key, canonical(key, self._masks))
            row = self._by_text.get(text)
            if row is None:
                unknown.append(place)
            else:
                self._by_key[_stored(key)] = row
        return unknown

    def known(self, hashes: Ints) -> Ints:
        """Returns the ids of those of these lines that are in the table now."""
        ids = map(self._by_hash.get, hashes.tolist())
        return np.array([line_id for line_id in ids if line_id is not None], np.int64)

    def embeddings(self, ids: Ints) -> Floats:
        """Returns the embeddings (n, D) of rows, on the host; zero for padding and overflow."""
        assert self._embeddings is not None, "a line is looked up before its embedding is read"
        return np.asarray(self._embeddings[ids])

    def _found(self, keys: list[bytes]) -> list[int | None]:
        """Returns the id of each key that was met before, None for the others."""
        found = list(map(self._by_key.get, keys))
        if None in found:
            for place, line_id in enumerate(found):
                if line_id is None and len(keys[place]) > _LONG_KEY:
                    found[place] = self._by_key.get(_stored(keys[place]))
        return found

    def _add(self, keys: list[bytes], missing: list[int], found: list[int | None], live_ids: LiveIds) -> dict[int, str]:
        """Fills `found` at the missing places. Returns the texts of lines that got no row, by place."""
        texts = {key: canonical(key, self._masks) for key in {keys[i] for i in missing}}
        # In stream order, so that ids do not depend on how a set happens to iterate.
        new = list(dict.fromkeys(t for t in (texts[keys[i]] for i in missing) if t not in self._by_text))
        at_hand = np.array([line_id for line_id in found if line_id is not None], np.int32)
        self._give_rows(new, {texts[keys[i]] for i in missing}, lambda: np.concatenate([live_ids(), at_hand]))
        if len(self._by_key) > _KEYS_PER_ROW * len(self._texts):
            self._by_key.clear()  # masked forms of one text can be endless; the common ones are back within a batch
        overflow: dict[int, str] = {}
        for i in missing:
            text = texts[keys[i]]
            line_id = found[i] = self._by_text.get(text, OVERFLOW)
            if line_id == OVERFLOW:
                overflow[i] = text
            else:
                self._by_key[_stored(keys[i])] = line_id
        self.counts.overflowed += len(overflow)
        return overflow

    def _give_rows(self, new: list[str], current: set[str], in_use: LiveIds) -> None:
        """Embeds new texts as far as there is room. Evicts neither rows in use nor those of the `current` texts."""
        if len(new) > len(self._free):
            self._evict(len(new), current, in_use())
        rows = [self._free.pop() for _ in new[: len(self._free)]]
        if rows:
            self._place(new[: len(rows)], rows)

    def _place(self, texts: list[str], rows: list[int]) -> None:
        vectors = self._encode(texts)
        assert len(vectors) == len(texts), "the encoder answers every text"
        if self._embeddings is None:
            self._embeddings = np.zeros((len(self._texts), vectors.shape[1]), np.float32)
        at = np.array(rows, np.int64)
        self._embeddings[at] = vectors
        self._severe[at], self._level[at], self._refused[at] = severities(texts)
        self._announces[at], self._connects[at] = announcements(texts), connections(texts)
        self._store(at, vectors, texts)
        self.counts.embedded += len(texts)
        for row, text in zip(rows, texts, strict=True):
            self._texts[row] = text
            self._by_text[text] = row
            self._hashes[row] = line_hash(text)
            self._by_hash[int(self._hashes[row])] = row

    def _evict(self, wanted: int, current: set[str], in_use: Ids) -> None:
        """Evicts the rows longest unused to which nothing alive refers, `in_use` and the texts at hand included."""
        # 8 rows: 0 and 1 reserved, 7 free, 3 in a ring; last used in batches 5, 2, 4 for rows 4, 5, 6:
        #   alive         1 1 0 1 0 0 0 1     row 2 was last used in batch 1
        #   candidates    2 4 5 6
        #   by last use   2 5 6 4             of which the first 2 are evicted, a quarter of the table
        alive = np.zeros(len(self._texts), bool)
        alive[:_RESERVED] = True
        alive[self._free] = True
        alive[in_use] = True
        alive[[row for row in map(self._by_text.get, current) if row is not None]] = True
        candidates = np.flatnonzero(~alive)
        count = max(wanted - len(self._free), len(self._texts) // _EVICTED_SHARE)
        victims = candidates[np.argsort(self._last_used[candidates], kind="stable")][:count]
        evicted = set(victims.tolist())
        for row in victims.tolist():
            del self._by_text[self._texts[row]]
            del self._by_hash[int(self._hashes[row])]
            self._texts[row] = ""
        self._by_key = {key: row for key, row in self._by_key.items() if row not in evicted}
        self._free.extend(victims.tolist())
        self.counts.evicted += len(victims)


def _stored(key: bytes) -> bytes:
    """Returns the form of a key in the index; no key contains a newline, so a digest is never taken for a key."""
    return key if len(key) <= _LONG_KEY else b"\n" + hashlib.blake2b(key, digest_size=16).digest()
