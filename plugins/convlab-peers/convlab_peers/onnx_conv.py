"""A convolution as an ONNX model in memory: one Conv node, its weights and bias constants, perhaps an activation.

The few messages of onnx.proto that this takes are written here, so that the onnx package (some 40 MB) is not needed.
A protobuf message is a sequence of fields, each a number with a wire type and a value: an integer as a varint,
anything else as its length and its bytes (protobuf.dev, "Encoding"). Field numbers are onnx.proto's.
"""

import itertools
from collections.abc import Iterable

import numpy as np

from convlab import ConvProblem

# Operators that compute an activation of ours alone; Gelu's default is erf's.
ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "gelu": "Gelu"}
# TensorProto.DataType
ELEMENT = {np.dtype("float32"): 1, np.dtype("float16"): 10}
# The first operator set with Gelu, and the format's version that came with it.
_OPSET, _IR_VERSION = 20, 9
# AttributeProto.AttributeType
_INT, _INTS = 2, 7

Field = tuple[int, int | str | bytes]


def model(problem: ConvProblem, weight: np.ndarray, bias: np.ndarray | None) -> bytes:
    """The serialised ModelProto of a forward problem in channels_first; its input is "x", its output "y"."""
    result = "y" if problem.activation is None else "sum"
    constants = {"w": weight} if bias is None else {"w": weight, "b": bias}
    nodes = [_conv(problem, ["x", *constants], result)]
    if problem.activation is not None:
        nodes.append(_node(ACTIVATIONS[problem.activation], [result], "y"))
    graph = _message(
        *((1, node) for node in nodes),
        (2, "convolution"),
        *((5, _constant(name, array)) for name, array in constants.items()),
        (11, _value("x", problem.x_shape, problem.dtype)),
        (12, _value("y", problem.y_shape, problem.dtype)),
    )
    return _message((1, _IR_VERSION), (7, graph), (8, _message((1, ""), (2, _OPSET))))


def _conv(problem: ConvProblem, inputs: list[str], result: str) -> bytes:
    pads = itertools.chain(*zip(*problem.padding, strict=True))  # every beginning, then every end
    return _node(
        "Conv",
        inputs,
        result,
        _message((1, "group"), (3, problem.groups), (20, _INT)),
        _integers("kernel_shape", problem.kernel),
        _integers("strides", problem.stride),
        _integers("pads", pads),
        _integers("dilations", problem.dilation),
    )


def _node(operator: str, inputs: list[str], result: str, *attributes: bytes) -> bytes:
    """A NodeProto."""
    return _message(*((1, name) for name in inputs), (2, result), (4, operator), *((5, a) for a in attributes))


def _integers(name: str, values: Iterable[int]) -> bytes:
    """An AttributeProto of integers."""
    return _message((1, name), *((8, value) for value in values), (20, _INTS))


def _constant(name: str, array: np.ndarray) -> bytes:
    """A TensorProto."""
    return _message(*((1, size) for size in array.shape), (2, ELEMENT[array.dtype]), (8, name), (9, array.tobytes()))


def _value(name: str, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """A ValueInfoProto of a tensor: its TypeProto holds an element type and a TensorShapeProto."""
    dimensions = _message(*((1, _message((1, size))) for size in shape))
    return _message((1, name), (2, _message((1, _message((1, ELEMENT[dtype]), (2, dimensions))))))


def _message(*fields: Field) -> bytes:
    parts: list[bytes] = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint(number << 3), _varint(value)]
        else:
            content = value.encode() if isinstance(value, str) else value
            parts += [_varint(number << 3 | 2), _varint(len(content)), content]
    return b"".join(parts)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
