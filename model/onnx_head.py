"""The head on ONNX Runtime: the arithmetic of `logwarden.model.head`, written as two graphs, on the CPU.

Legend: B windows · L lines · D width · H attention heads · R rows of the table · S signs · n new lines
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from logwarden.model.arrays import Column, Floats
from logwarden.model.head_shape import (
    AGE_BITS,
    BUCKETS,
    DIRECTIONS,
    EVIDENCE_SCALE,
    FAMILIARITY_WIDTH,
    FULL_BITS,
    MAX_TEXT_SCORE,
    NEWER,
    SHARPNESS,
    SIGNS,
    SURPRISE_UNIT_BITS,
    TOP,
    HeadShape,
    mixture_limit,
)
from logwarden.model.onnx_graph import Graph, Session, Value

_MOST_LINES = 4096
"""Places of a window that the attention distinguishes, more than the settings allow."""
_FIRST, _LAST = np.array([1]), np.array([-1])
_FLOAT = 1  # ONNX's number of float32


def projection(weights: Mapping[str, Column], shape: HeadShape) -> Session:
    """Returns the graph of `WindowHead.project` but for the signs.

    `vectors` (n, E + V) → query, key and value (n, D), gates (n, 2).
    """
    g = Graph()
    vectors = g.input("vectors", np.float32, "n", shape.encoder_width + shape.evidence_width)
    rows = vectors @ weights["projection.weight"].T + weights["projection.bias"]  # n, 3 D
    query, key, value = g.ops("Split", 3, rows, axis=1, num_outputs=3)
    inner = g.op("Gelu", vectors @ weights["text_gates.1.weight"].T + weights["text_gates.1.bias"])
    gates = inner @ weights["text_gates.3.weight"].T + weights["text_gates.3.bias"]  # n, 2
    if shape.evidence_width:
        of_evidence = EVIDENCE_SCALE * _softplus(weights["evidence_gates"], SHARPNESS) * np.array(DIRECTIONS)
        none = np.zeros((2, shape.encoder_width))
        gates = gates + vectors @ np.concatenate([none, of_evidence], axis=1).astype(np.float32).T
    return g.session({"query": query, "key": key, "value": value, "gates": gates})


def scoring(weights: Mapping[str, Column], shape: HeadShape) -> Session:
    """Returns the graph of `WindowHead.score`, with the gather of the rows.

    The table: `query` (R, D), `key` and `value` (H, R, D/H), `gates` (R, 2), `signs` (R, S). Windows: `ids` (B, L),
    `familiarity` (B, L, 3), `judged` (B, 1). → logits (B, 2), line weights (B, L).
    """
    head = _Windows(weights, shape)
    pooled, attention = head.attend()
    base, shares = head.base()
    mixed = head.mixture(pooled)
    g = head.g
    logits = mixed + g.op("Concat", base * -0.5, base * 0.5, axis=1)  # B, 2
    # Each line's share of the score: the base is a sum over lines and splits exactly, attention splits the mixture's.
    normal, anomaly = g.ops("Split", 2, mixed, axis=1, num_outputs=2)
    carried = g.op("Relu", shares) + attention * g.op("Relu", anomaly - normal)  # B, L
    total = g.op("ReduceSum", carried, _FIRST)  # B, 1
    least = float(np.finfo(np.float32).tiny)
    found = g.op("Where", g.op("Greater", total, 0.0), carried / g.op("Max", total, least), 0.0)
    return g.session({"logits": logits, "weights": found})


class _Windows:
    """The graph of B windows: what its steps share. Each step is a method of the same name in `WindowHead`."""

    def __init__(self, weights: Mapping[str, Column], shape: HeadShape) -> None:
        self.g = g = Graph()
        self.weights, self.shape = weights, shape
        heads, width = shape.attention_heads, shape.hidden_size
        self.query = g.input("query", np.float32, "R", width)
        self.key, self.value = (g.input(x, np.float32, heads, "R", width // heads) for x in ("key", "value"))
        gates, self.signs = g.input("gates", np.float32, "R", 2), g.input("signs", np.float32, "R", SIGNS)
        self.ids = g.input("ids", np.int64, "B", "L")
        familiarity = g.input("familiarity", np.float32, "B", "L", FAMILIARITY_WIDTH)
        self.judged = g.input("judged", np.int64, "B", 1)
        self.judged_ids = self.of_judged(self.ids)  # B, 1
        self.length = g.op("Shape", self.ids, start=1, end=2)
        self.real = g.op("Not", g.op("Equal", self.ids, np.array(0)))  # B, L
        self.mask = self.number(self.real)
        self.lines = g.op("Max", self.sum(self.mask), 1.0)  # B, 1
        log_count, log_age, distance = (
            g.op("Squeeze", column, _LAST) for column in g.ops("Split", 3, familiarity, axis=2, num_outputs=3)
        )  # B, L each
        full = float(np.log2(1 + shape.learning_lines))
        self.log_count = log_count
        self.known = g.op("Clip", (log_age - (full - 4)) / 4.0, 0.0, 1.0)
        self.surprise = g.op("Relu", log_age - log_count) / SURPRISE_UNIT_BITS * self.known
        self.distance = distance * self.known
        raises, matters = (
            g.op("Squeeze", column, _LAST)
            for column in g.ops("Split", 2, g.op("Gather", gates, self.ids), axis=2, num_outputs=2)
        )  # B, L each: a(e) and b(e)
        weight = float(_softplus(weights["distance_weight"]))
        scores = (g.op("Sigmoid", matters) + 0.5) * self.surprise * (self.distance * weight + 1.0)
        scores = scores + raises * (1.0 - self.known) + g.op("Tanh", raises) * MAX_TEXT_SCORE * self.known
        self.scores = scores * self.mask  # B, L: r

    def of_judged(self, x: Value) -> Value:
        """Returns the values (B, 1) of the judged lines, of (B, L)."""
        return self.g.op("GatherElements", x, self.judged, axis=1)

    def number(self, x: Value) -> Value:
        """Returns truth values as 0 and 1."""
        return self.g.op("Cast", x, to=_FLOAT)

    def sum(self, x: Value) -> Value:
        """Returns sums over the lines, (B, 1) of (B, L)."""
        return self.g.op("ReduceSum", x, _FIRST)

    def attend(self) -> tuple[Value, Value]:
        """Returns what attention pools (B, D), and the mean attention over the heads (B, L)."""
        g, weights, heads = self.g, self.weights, self.shape.attention_heads
        side = self.shape.hidden_size // heads
        query = g.op("Gather", self.query, g.op("Squeeze", self.judged_ids, _FIRST)) + weights["learned_query"]  # B, D
        split = g.op("Transpose", g.op("Reshape", query, np.array([-1, heads, side, 1])), perm=[1, 0, 2, 3])
        keys, values = g.op("Gather", self.key, self.ids, axis=1), g.op("Gather", self.value, self.ids, axis=1)
        logits = g.op("Squeeze", keys @ (split / float(np.sqrt(side))), _LAST)  # H, B, L
        places = g.op("Range", np.array(0), g.op("Squeeze", self.length), np.array(1))  # L
        past = g.op("Abs", self.judged - places)  # B, L lines back
        logits = logits + g.op("Gather", _position_bias(weights["position_bias"]), past, axis=1)
        logits = logits + g.op("Unsqueeze", self.surprise, np.array([0])) * weights["surprise_bias"][:, None, None]
        logits = g.op("Where", g.op("Unsqueeze", self.real, np.array([0])), logits, -1e9)
        attention = g.op("Softmax", logits, axis=-1)  # H, B, L
        pooled = g.op("Unsqueeze", attention, np.array([2])) @ values  # H, B, 1, D/H
        return self.joined(g.op("Squeeze", pooled, np.array([2]))), g.op(
            "ReduceMean", attention, np.array([0]), keepdims=0
        )

    def joined(self, x: Value) -> Value:
        """Returns (B, D) of (H, B, D/H)."""
        turned = self.g.op("Transpose", x, perm=[1, 0, 2])
        return self.g.op("Reshape", turned, np.array([-1, self.shape.hidden_size]))

    def base(self) -> tuple[Value, Value]:
        """Returns the monotone part of the logit (B, 1), and each line's share of it (B, L)."""
        g = self.g
        of_newest, of_greatest, of_mean = (float(x) for x in _softplus(self.weights["base"]))
        places = g.op("Cast", g.op("Range", np.array(0), g.op("Squeeze", self.length), np.array(1)), to=_FLOAT)
        ranked = g.op("Where", self.real, self.scores * (places * NEWER + 1.0), -1e4)
        _, at = g.ops("TopK", 2, ranked, g.op("Min", self.length, np.array([TOP])), axis=1)  # B, 4
        top = g.op("Relu", g.op("GatherElements", self.scores, at, axis=1))
        first, greatest = (g.op("Slice", x, np.array([0]), _FIRST, _FIRST) for x in (at, top))  # B, 1
        newest = self.of_judged(self.scores)
        mean = top * (of_mean / TOP)
        base = newest * of_newest + greatest * of_greatest + self.sum(mean) + float(self.weights["base_offset"])
        shares = g.op("ScatterElements", self.scores * 0.0, self.judged, newest * of_newest, axis=1)
        shares = g.op("ScatterElements", shares, first, greatest * of_greatest, axis=1, reduction="add")
        return base, g.op("ScatterElements", shares, at, mean, axis=1, reduction="add")

    def mixture(self, pooled: Value) -> Value:
        """Returns the bounded logits (B, 2) of the mixture of experts."""
        g, weights = self.g, self.weights
        values = g.op("Gather", self.value, g.op("Squeeze", self.judged_ids, _FIRST), axis=1)  # H, B, D/H
        facts = self.facts() @ weights["summary.weight"].T + weights["summary.bias"]
        context = g.op("Concat", pooled, self.joined(values), facts, axis=1)  # B, 2 D + 32
        context = g.op("LayerNormalization", context, weights["norm.weight"], weights["norm.bias"], epsilon=1e-5)
        gates = self.gates(g.op("Softmax", context @ weights["mixture.router.weight"].T, axis=-1))  # B, E
        # All experts are computed at once, and the closed ones count nothing.
        experts, hidden, width = weights["mixture.inner"].shape
        inner = context @ weights["mixture.inner"].reshape(-1, width).T + weights["mixture.inner_bias"].reshape(-1)
        opened = g.op("Reshape", g.op("Gelu", inner), np.array([-1, experts, hidden]))
        opened = opened * g.op("Unsqueeze", gates, _LAST)
        outer = weights["mixture.outer"].transpose(0, 2, 1).reshape(experts * hidden, -1)
        mixed = g.op("Reshape", opened, np.array([-1, experts * hidden])) @ outer
        limit = mixture_limit(self.shape.evidence_width)
        return g.op("Tanh", mixed / limit) * limit

    def gates(self, probabilities: Value) -> Value:
        """Returns the likeliest experts up to the first that takes the sum past top_p; see `top_p_gates`."""
        g, experts = self.g, self.shape.experts
        ordered, order = g.ops("TopK", 2, probabilities, np.array([experts]), axis=1)  # of equal ones the first
        before = g.op("CumSum", ordered, np.array(1)) - ordered
        keep = g.op("Or", g.op("LessOrEqual", before, self.shape.gate_top_p), np.arange(experts) == 0)
        return g.op("ScatterElements", probabilities * 0.0, order, ordered * self.number(keep), axis=1)

    def facts(self) -> Value:
        """Returns the facts about a window of `summarise` and, with evidence, of `sign_shares`."""
        g, lines = self.g, self.lines
        surprising = self.number(g.op("And", g.op("Greater", self.surprise, 1.0), self.real))  # B, L
        never = g.op("And", g.op("Equal", self.log_count, 0.0), g.op("Greater", self.known, 0.0))
        never = self.number(g.op("And", never, self.real))
        count = self.of_judged(self.log_count)
        highest = g.op("Where", self.real, self.scores, -1e4)
        surprise = self.surprise * self.mask
        parts = [
            *(self.of_judged(x) for x in (self.scores, self.surprise, self.known, self.distance)),
            g.op("ReduceMax", surprise, _FIRST),
            self.sum(surprise) / lines,
            self.sum(self.scores) / lines,
            g.op("ReduceMax", highest, _FIRST),
            self.sum(surprising) / lines,
            g.op("Min", self.sum(never), 8.0) / 8.0,
            self.of_judged(never),
            count / AGE_BITS,
            self.number(g.op("Less", count, 2.0)),
            g.op("Log", lines) / float(np.log(2) * FULL_BITS),
        ]
        if self.shape.evidence_width:
            judged = g.op("Squeeze", self.judged_ids, _FIRST)
            signs = g.op("Gather", self.signs, self.ids)  # B, L, S; of padding zero
            parts += [g.op("Gather", self.signs, judged)]
            for share in (self.mask, surprising):
                row = g.op("Unsqueeze", share, _FIRST) @ signs  # B, 1, S
                parts += [g.op("Squeeze", row, _FIRST) / lines]
        return g.op("Concat", *parts, axis=1)


def _position_bias(bias: Column) -> Floats:
    """Returns the bias (H, places) of each distance into the past, of (H, buckets)."""
    # Distances 0, 1, 2, 3, 4, 5, 6, 7 lie in buckets 0, 2, 3, 4, 4, 5, 5, 6.
    buckets = (2 * np.log2(np.arange(_MOST_LINES, dtype=np.float32) + 1)).astype(np.int64).clip(max=BUCKETS - 1)
    return np.asarray(bias[:, buckets], np.float32)


def _softplus(x: Column, sharpness: float = 1.0) -> Floats:
    return np.asarray(np.logaddexp(0, sharpness * x.astype(np.float64)) / sharpness, np.float32)
