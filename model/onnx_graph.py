"""Writes computations as ONNX graphs and runs them on the CPU. Imports neither PyTorch nor transformers.

A graph is written in Python, from the weights that it is given: no file is exported, so none can be out of date.
Knows nothing of BERT, lines and windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from logwarden.model.arrays import Column
from logwarden.model.onnx_runtime import onnxruntime

OPSET, CONTRIBUTED = 20, "com.microsoft"
"""Version of the operators, and the domain of those that ONNX Runtime adds."""
_KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int64): TensorProto.INT64,
}
# The version of the file format that opset 20 came with; newer writers would otherwise ask for newer runtimes.
_IR_VERSION = 9
_LARGE_BYTES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of a graph. Arithmetic on it adds nodes."""

    graph: Graph
    name: str

    def __add__(self, other: Operand) -> Value:
        return self.graph.op("Add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self.graph.op("Add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", self, other)

    def __rmul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Operand) -> Value:
        return self.graph.op("MatMul", self, other)


Operand = Value | float | Column
"""A number is a float32 scalar, an array a constant of its own type."""


class Graph:
    """A graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._constants: list[Any] = []
        self._weights: dict[str, Any] = {}

    def input(self, name: str, kind: type[np.generic], *shape: int | str) -> Value:
        """Adds an input. A dimension with a name may have any size."""
        self._inputs.append(helper.make_tensor_value_info(name, _KINDS[np.dtype(kind)], shape))
        return Value(self, name)

    def op(self, kind: str, *operands: Operand, **attributes: Any) -> Value:
        """Adds a node and returns its first output."""
        return self.ops(kind, 1, *operands, **attributes)[0]

    def ops(self, kind: str, outputs: int, *operands: Operand, domain: str = "", **attributes: Any) -> list[Value]:
        """Adds a node and returns its outputs."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(outputs)]
        inputs = [self._name(operand) for operand in operands]
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return [Value(self, name) for name in names]

    def session(self, outputs: Mapping[str, Value]) -> Session:
        """Returns the finished graph, ready to run."""
        self._nodes += [helper.make_node("Identity", [value.name], [name]) for name, value in outputs.items()]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, "logwarden", self._inputs, infos, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIBUTED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return Session(model.SerializeToString(), self._weights, list(outputs))

    def _name(self, operand: Operand) -> str:
        if isinstance(operand, Value):
            return operand.name
        array = np.asarray(operand, None if isinstance(operand, np.ndarray) else np.float32)
        name = f"c{len(self._constants)}"
        if array.nbytes < _LARGE_BYTES:
            self._constants.append(numpy_helper.from_array(array, name))
            return name
        # The runtime reads a large constant where it lies: as a part of the graph it would be copied three times.
        self._weights[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
        tensor = TensorProto(
            name=name, data_type=_KINDS[array.dtype], dims=array.shape, data_location=TensorProto.EXTERNAL
        )
        tensor.external_data.add(key="location", value="memory")
        self._constants.append(tensor)
        return name


class Session:
    """A graph that runs on one thread of the CPU. Threads may share it."""

    def __init__(self, model: bytes, weights: Mapping[str, Any], outputs: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        # One thread scores and one embeds; more threads inside each would compete for the same cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors, which are exceptions as well
        options.add_external_initializers(list(weights), list(weights.values()))
        self._weights = weights  # the runtime reads their memory
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._outputs = list(outputs)

    def run(self, **inputs: Column) -> list[Any]:
        """Returns the outputs, as arrays, in the order in which they were named."""
        found: list[Any] = self._session.run(self._outputs, inputs)
        return found
