"""A pickle machine that can only build data: the one place where pickle's bytes are interpreted.

Python's own unpickler imports and calls whatever a file names. This one knows no import and no attribute access: a
global is looked up as an exact (module, name) pair in a table of audited functions, everything else is refused by name.
Every count and length is checked against the file and a budget before anything is made, so a file cannot ask for more
time or memory than its own size justifies. Long byte strings stay in the file (`stored.LongBytes`).
"""

from __future__ import annotations

import codecs
import pickle  # opcode names only; nothing of it is called
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eigan.errors import CheckpointError, UnsafeCheckpoint
from eigan.readers.source import CUT_SHORT, DAMAGED, Source
from eigan.readers.stored import LongBytes, LongText, NumpyArray, NumpyType, Record

HIGHEST_PROTOCOL = 5
STOP = pickle.STOP[0]
MAX_STEPS = 500_000  # a 1024 px snapshot with G, D and G_ema takes a quarter of that
MAX_STACK = 100_000
MAX_NESTING = 500
MAX_NAME = 256
MAX_LINE = 2**20
MAX_INT_BYTES = 16
MAX_DIGITS = 40
KEPT_IN_FILE = 4096  # longer strings are not read
REMEDY = "Use a file from the generator's authors, or one in safetensors form."
HINTS = {
    "torch": "Weights are read as float or integer tensors only.",
    "torch.nn": "It pickles whole modules of a kind that eigan does not know; save their state_dict() instead.",
}


@dataclass(frozen=True)
class Audited:
    """A function on an allow-list. It refuses arguments of any type that it does not expect."""

    name: str
    call: Callable[[tuple[Any, ...]], Any]
    cost: int = 1


Allowed = Mapping[tuple[str, str], Audited]


def printable(text: str, limit: int = 80) -> str:
    """A file's text made safe for a message: control characters escaped, cut after `limit`."""
    shown = text[:limit].encode("unicode_escape").decode()
    return shown if len(text) <= limit else f"{shown}…"


def kind_of(value: object) -> str:
    """What to call a value in a message; never its contents."""
    if isinstance(value, LongText):
        return f"text of {value.length:,} bytes"
    return value.name if isinstance(value, Audited) else type(value).__name__


def check_key(key: object) -> str | int:
    """A dict key or set member: text or a small whole number; others could make hashing them arbitrarily slow.

    A long number (optimizers before PyTorch 1.6 number their parameters by memory address) becomes text.
    """
    if type(key) is str or (type(key) is int and -(2**31) <= key < 2**31):
        return key
    if type(key) is int and -(2**63) <= key < 2**64:
        return str(key)
    raise CheckpointError(
        f"a dict or set in the pickle has a key of type {kind_of(key)}; wanted text or small integers. {REMEDY}"
    )


class Machine:
    """Runs one pickle of `source`. `allowed`: what globals may be named. `persistent`: reads persistent ids, if any."""

    def __init__(
        self,
        source: Source,
        allowed: Allowed,
        persistent: Callable[[object], object] | None = None,
        max_steps: int = MAX_STEPS,
    ):
        self.source, self.allowed, self.persistent, self.max_steps = source, allowed, persistent, max_steps
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def load(self) -> Any:
        """The value before STOP.

        Raises:
            UnsafeCheckpoint: the pickle names or calls something that is not allowed.
            CheckpointError: truncated, malformed, or a bomb.
        """
        next_byte, find = self.source.byte, OPCODES.get
        try:
            while (code := next_byte()) != STOP:
                act = find(code)
                if act is None:
                    raise CheckpointError(
                        f"byte {self.source.position - 1:,} ({code:#04x}) is no pickle opcode of weights; {DAMAGED}"
                    )
                self.steps += 1
                if self.steps > self.max_steps or len(self.stack) > MAX_STACK:
                    self.spend(0)
                act(self)
            return self.stack.pop()
        except CheckpointError:
            raise
        except IndexError:
            raise CheckpointError(self._malformed("takes a value that was never put there")) from None
        except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, struct.error) as error:
            raise CheckpointError(self._malformed(f"a value does not fit ({type(error).__name__})")) from error

    def _malformed(self, what: str) -> str:
        return f"malformed pickle at byte {self.source.position:,}: {what}; download the file again"

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.max_steps:
            raise CheckpointError(f"the pickle takes more than {self.max_steps:,} steps; no checkpoint does. {REMEDY}")
        if len(self.stack) > MAX_STACK:
            raise CheckpointError(
                f"the pickle keeps more than {MAX_STACK:,} values waiting; no checkpoint does. {REMEDY}"
            )

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        if len(self.marks) >= MAX_NESTING:
            raise CheckpointError(f"the pickle is nested deeper than {MAX_NESTING} levels; no checkpoint is. {REMEDY}")
        self.marks.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    # Globals and calls

    def find(self, module: object, name: object) -> Audited:
        if type(module) is not str or type(name) is not str:
            raise CheckpointError(self._malformed(f"a global is named by {kind_of(module)} and {kind_of(name)}"))
        found = self.allowed.get((module, name)) if len(module) + len(name) <= MAX_NAME else None
        if found is None:
            hint = HINTS.get(".".join(module.split(".", 2)[:2]), REMEDY)
            asked = f"{printable(module)}.{printable(name)}"
            raise UnsafeCheckpoint(
                f"refused {asked}: not on the weights allow-list; nothing in the file was run. {hint}"
            )
        return found

    def find_lines(self) -> Audited:
        module, name = (self.source.line(4 * MAX_NAME).decode("utf-8") for _ in range(2))
        return self.find(module, name)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(self.find(module, name))

    def call(self, args: object, how: str) -> None:
        function = self.stack.pop()
        if not isinstance(function, Audited) or type(args) is not tuple:
            raise UnsafeCheckpoint(
                f"refused to {how} a value of type {kind_of(function)} with {kind_of(args)}: only functions on the "
                f"weights allow-list are called; nothing in the file was run. {REMEDY}"
            )
        self.spend(function.cost + sum(weigh(a) for a in args))
        self.push(function.call(args))

    def refuse_instance(self) -> None:
        raise UnsafeCheckpoint(f"refused to make an instance of {self.find_lines().name}: weights need none. {REMEDY}")

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is dict:
            return  # attributes of an OrderedDict (`_metadata`): data nobody needs
        build = BUILDERS.get(type(target))
        if build is None:
            raise UnsafeCheckpoint(f"refused to set the state of a {kind_of(target)}: not on the weights allow-list")
        build(target, state)

    def persistent_id(self, name: object) -> None:
        if self.persistent is None:
            raise UnsafeCheckpoint(f"refused a persistent id: this kind of checkpoint has none. {REMEDY}")
        self.push(self.persistent(name))

    def extension(self, size: int) -> None:
        raise UnsafeCheckpoint(f"refused extension code {self.source.number(size)}: it can name any function. {REMEDY}")

    # Containers

    def last(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise CheckpointError(self._malformed(f"fills a {kind_of(self.stack[-1])} as if it were a {kind.__name__}"))
        return self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def append(self) -> None:
        value = self.stack.pop()
        self.last(list).append(value)

    def append_all(self) -> None:
        items = self.to_mark()
        self.last(list).extend(items)

    def add_all(self) -> None:
        items = self.to_mark()
        self.last(set).update(check_key(item) for item in items)

    def make_dict(self) -> None:
        items = self.to_mark()
        self.push({})
        self.set_items(items)

    def make_tuple(self, size: int) -> None:
        if len(self.stack) < size:
            raise IndexError
        items = tuple(self.stack[-size:])
        del self.stack[-size:]
        self.push(items)

    # Scalars and strings

    def proto(self) -> None:
        version = self.source.number(1)
        if version > HIGHEST_PROTOCOL:
            raise CheckpointError(f"pickle protocol {version} does not exist; this reads 0 to {HIGHEST_PROTOCOL}")

    def frame(self) -> None:
        length = self.source.number(8)
        if length > self.source.remaining:
            raise CheckpointError(
                f"a pickle frame of {length:,} bytes is declared, {self.source.remaining:,} are there; {CUT_SHORT}"
            )

    def long(self, length: int) -> None:
        if length > MAX_INT_BYTES:
            raise CheckpointError(f"an integer of {length:,} bytes is declared; weights need at most {MAX_INT_BYTES}")
        self.push(int.from_bytes(self.source.take(length), "little", signed=True))

    def digits(self) -> None:
        text = self.source.line(MAX_DIGITS).decode("ascii").removesuffix("L")
        self.push({"00": False, "01": True}.get(text, int(text)))

    def text(self, length: int) -> None:
        if length > KEPT_IN_FILE:
            offset, head = self.source.skip(length)
            self.push(LongText(self.source.file, offset, length, head))
        else:
            self.push(self.source.take(length).decode("utf-8", "surrogatepass"))

    def old_text(self, length: int) -> None:
        """Python 2's `str`: names in genuine files, numbers in none."""
        if length > KEPT_IN_FILE:
            raise CheckpointError(f"a Python 2 string of {length:,} bytes is declared; names need far fewer. {REMEDY}")
        self.push(self.source.take(length).decode("latin-1"))

    def bytes(self, length: int) -> None:
        if length > KEPT_IN_FILE:
            offset, head = self.source.skip(length)
            self.push(LongBytes(self.source.file, offset, length, head))
        else:
            self.push(self.source.take(length))

    def quoted(self) -> None:
        line = self.source.line(MAX_LINE)
        if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
            raise ValueError("the string has no quotes")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]


def weigh(argument: object) -> int:
    """Steps that copying an argument is worth."""
    if isinstance(argument, (list, tuple, dict)):
        return len(argument)
    return len(argument) // 64 if isinstance(argument, (str, bytes)) else 0


BUILDERS: dict[type, Callable[[Any, object], None]] = {
    NumpyType: NumpyType.build,
    NumpyArray: NumpyArray.build,
    Record: Record.build,
}


def _opcodes() -> dict[int, Callable[[Machine], None]]:
    """Opcode -> action. Those that only make instances or reach outside the file are left out or refuse."""
    fixed: dict[bytes, Callable[[], Any]] = {
        pickle.NONE: lambda: None,
        pickle.NEWTRUE: lambda: True,
        pickle.NEWFALSE: lambda: False,
        pickle.EMPTY_DICT: dict,
        pickle.EMPTY_LIST: list,
        pickle.EMPTY_TUPLE: tuple,
        pickle.EMPTY_SET: set,
    }
    sized: dict[
        bytes, tuple[int, Callable[[Machine, int], Any]]
    ] = {  # opcode -> (bytes of the length, what takes the length)
        pickle.LONG1: (1, Machine.long),
        pickle.LONG4: (4, Machine.long),
        pickle.SHORT_BINUNICODE: (1, Machine.text),
        pickle.BINUNICODE: (4, Machine.text),
        pickle.BINUNICODE8: (8, Machine.text),
        pickle.SHORT_BINSTRING: (1, Machine.old_text),
        pickle.BINSTRING: (4, Machine.old_text),
        pickle.SHORT_BINBYTES: (1, Machine.bytes),
        pickle.BINBYTES: (4, Machine.bytes),
        pickle.BINBYTES8: (8, Machine.bytes),
        pickle.BYTEARRAY8: (8, Machine.bytes),
        pickle.BINPUT: (1, lambda m, i: m.memo.__setitem__(i, m.stack[-1])),
        pickle.LONG_BINPUT: (4, lambda m, i: m.memo.__setitem__(i, m.stack[-1])),
        pickle.BINGET: (1, lambda m, i: m.push(m.memo[i])),
        pickle.LONG_BINGET: (4, lambda m, i: m.push(m.memo[i])),
        pickle.BININT1: (1, Machine.push),
        pickle.BININT2: (2, Machine.push),
    }
    plain: dict[bytes, Callable[[Machine], Any]] = {
        pickle.PROTO: Machine.proto,
        pickle.FRAME: Machine.frame,
        pickle.MARK: Machine.mark,
        pickle.POP: Machine.pop,
        pickle.POP_MARK: Machine.to_mark,
        pickle.DUP: lambda m: m.push(m.stack[-1]),
        pickle.BININT: lambda m: m.push(struct.unpack("<i", m.source.take(4))[0]),
        pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.source.take(8))[0]),
        pickle.INT: Machine.digits,
        pickle.LONG: Machine.digits,
        pickle.FLOAT: lambda m: m.push(float(m.source.line(MAX_DIGITS))),
        pickle.STRING: Machine.quoted,
        pickle.UNICODE: lambda m: m.push(m.source.line(MAX_LINE).decode("raw-unicode-escape")),
        pickle.PUT: lambda m: m.memo.__setitem__(int(m.source.line(MAX_DIGITS)), m.stack[-1]),
        pickle.GET: lambda m: m.push(m.memo[int(m.source.line(MAX_DIGITS))]),
        pickle.MEMOIZE: lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
        pickle.GLOBAL: lambda m: m.push(m.find_lines()),
        pickle.STACK_GLOBAL: Machine.stack_global,
        pickle.REDUCE: lambda m: m.call(m.stack.pop(), "call"),
        pickle.NEWOBJ: lambda m: m.call(m.stack.pop(), "make"),
        pickle.INST: Machine.refuse_instance,
        pickle.BUILD: Machine.build,
        pickle.PERSID: lambda m: m.persistent_id(m.source.line(MAX_NAME).decode("utf-8")),
        pickle.BINPERSID: lambda m: m.persistent_id(m.stack.pop()),
        pickle.EXT1: lambda m: m.extension(1),
        pickle.EXT2: lambda m: m.extension(2),
        pickle.EXT4: lambda m: m.extension(4),
        pickle.TUPLE: lambda m: m.push(tuple(m.to_mark())),
        pickle.TUPLE1: lambda m: m.make_tuple(1),
        pickle.TUPLE2: lambda m: m.make_tuple(2),
        pickle.TUPLE3: lambda m: m.make_tuple(3),
        pickle.LIST: lambda m: m.push(m.to_mark()),
        pickle.DICT: Machine.make_dict,
        pickle.APPEND: Machine.append,
        pickle.APPENDS: Machine.append_all,
        pickle.SETITEM: Machine.set_item,
        pickle.SETITEMS: lambda m: m.set_items(m.to_mark()),
        pickle.ADDITEMS: Machine.add_all,
    }
    table = {code[0]: act for code, act in plain.items()}
    table |= {code[0]: _pushing(make) for code, make in fixed.items()}
    table |= {code[0]: _measured(width, act) for code, (width, act) in sized.items()}
    return table


def _pushing(make: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(make())


def _measured(width: int, act: Callable[[Machine, int], Any]) -> Callable[[Machine], None]:
    if width == 1:
        return lambda machine: act(machine, machine.source.byte())
    return lambda machine: act(machine, machine.source.number(width))


OPCODES = _opcodes()
