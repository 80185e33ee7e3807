"""Named tensors of a file in torch's format of before 2020, with no pickle loaded.

Such a file names its tensors in a pickle. Here its operations are listed (``pickletools`` carries
none of them out) and those that a table of tensors needs are followed over plain values: what would
be a class or a function stays a name, and anything else is refused.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quintet.errors import SourceError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
TENSOR, TABLE = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
KINDS: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}


@dataclass(frozen=True)
class Name:
    """What a pickle would import."""

    text: str


@dataclass(frozen=True)
class Stored:
    """The numbers of a tensor, by their key in the file."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class Told:
    """A tensor as the table has it: where its numbers start, its shape and its strides."""

    stored: Stored
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_weights(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        SourceError: it is not such a file, is cut short, or holds something else than tensors.
    """
    try:
        file = BytesIO(content)
        if _values(file) != MAGIC or _values(file) != PROTOCOL:
            raise SourceError("weights: not a file of torch's format of before 2020")
        _values(file)  # byte order and sizes of the machine that wrote it
        table, keys = _values(file), _values(file)
        told = {name: one for name, one in table.items() if isinstance(one, Told)}
        if len(told) != len(table):
            raise SourceError("weights: the file holds something else than tensors")
        stored = {one.stored.key: one.stored for one in told.values()}
        numbers = {key: _numbers(file, stored[key]) for key in keys}
        return {name: _tensor(numbers[one.stored.key], one) for name, one in told.items()}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise SourceError(f"weights: the file is damaged ({type(error).__name__})") from None


def _numbers(file: BytesIO, stored: Stored) -> Tensor:
    (length,) = struct.unpack("<q", file.read(8))
    kind = KINDS[stored.kind]
    data = file.read(length * kind.itemsize)
    if length != stored.length or len(data) != length * kind.itemsize:
        raise ValueError("cut short")
    return torch.from_numpy(np.frombuffer(data, kind).copy())


def _tensor(numbers: Tensor, told: Told) -> Tensor:
    return numbers.as_strided(told.shape, told.stride, told.offset).clone()


# ---------------------------------------------------------------------- the operations


@dataclass
class _Stack:
    """Values on their way; marks say where the newest group of them starts."""

    values: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def group(self) -> list[Any]:
        """Take what was put since the newest mark."""
        start = self.marks.pop()
        taken = self.values[start:]
        del self.values[start:]
        return taken

    def last(self, n: int) -> list[Any]:
        """Take the newest ``n``."""
        taken = self.values[-n:]
        if len(taken) < n:
            raise IndexError("nothing there")
        del self.values[-n:]
        return taken

    def put(self, value: Any) -> None:
        """Put one."""
        self.values.append(value)

    def add(self, values: list[Any]) -> None:
        """Put values into the newest list."""
        self.values[-1].extend(values)

    def fill(self, pairs: list[Any]) -> None:
        """Put pairs of name and value into the newest table."""
        self.values[-1].update(zip(pairs[::2], pairs[1::2], strict=True))


def _values(file: BytesIO) -> Any:
    """What one pickle of the file says."""
    stack = _Stack()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "STOP":
            return stack.last(1)[0]
        step = STEPS.get(operation.name)
        if step is None:
            raise SourceError(f"weights: the file asks for {operation.name}, which no table needs")
        step(stack, argument)
    raise ValueError("no end")


def _called(stack: _Stack, argument: Any) -> None:
    del argument
    name, values = stack.last(2)
    if name == Name(TABLE) and not values:
        stack.put({})
    elif name == Name(TENSOR):
        stored, offset, shape, stride = values[:4]
        stack.put(Told(stored, offset, shape, stride))
    else:
        raise SourceError("weights: the file asks for something else than tensors")


def _stored(stack: _Stack, argument: Any) -> None:
    del argument
    _, kind, key, _, length, _ = stack.last(1)[0]
    stack.put(Stored(kind.text, key, length))


STEPS: dict[str, Callable[[_Stack, Any], object]] = {
    "PROTO": lambda *_: None,
    "MARK": lambda stack, _: stack.marks.append(len(stack.values)),
    "BINPUT": lambda stack, key: stack.memo.update({key: stack.values[-1]}),
    "BINGET": lambda stack, key: stack.put(stack.memo[key]),
    "GLOBAL": lambda stack, name: stack.put(Name(name)),
    "REDUCE": _called,
    "BINPERSID": _stored,
    "BUILD": lambda stack, _: stack.last(1),  # what a table says beside its tensors
    "NONE": lambda stack, _: stack.put(None),
    "NEWTRUE": lambda stack, _: stack.put(True),
    "NEWFALSE": lambda stack, _: stack.put(False),
    "EMPTY_TUPLE": lambda stack, _: stack.put(()),
    "EMPTY_LIST": lambda stack, _: stack.put([]),
    "EMPTY_DICT": lambda stack, _: stack.put({}),
    "TUPLE": lambda stack, _: stack.put(tuple(stack.group())),
    "TUPLE1": lambda stack, _: stack.put(tuple(stack.last(1))),
    "TUPLE2": lambda stack, _: stack.put(tuple(stack.last(2))),
    "TUPLE3": lambda stack, _: stack.put(tuple(stack.last(3))),
    "SETITEM": lambda stack, _: stack.fill(stack.last(2)),
    "SETITEMS": lambda stack, _: stack.fill(stack.group()),
    "APPEND": lambda stack, _: stack.add(stack.last(1)),
    "APPENDS": lambda stack, _: stack.add(stack.group()),
} | dict.fromkeys(
    ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"),
    lambda stack, value: stack.put(value),
)
STEPS |= {"LONG_BINPUT": STEPS["BINPUT"], "LONG_BINGET": STEPS["BINGET"]}
