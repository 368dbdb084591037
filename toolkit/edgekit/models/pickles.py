"""What a pickle would do, found by reading its opcodes; nothing is executed and nothing is built.

torch.load(weights_only=True) is the gate that keeps code from running. This is the gate before it: it names what a file would call, and refuses what
torch lets through although no weights file needs it (objects that allocate by a number in the pickle, keys that take forever to hash).
"""

from __future__ import annotations

import pickletools
from io import BytesIO
from mmap import mmap
from typing import Any

ALLOWED = {
    "collections Counter",
    "collections OrderedDict",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch.nn.parameter Parameter",
    "builtins set",
    "__builtin__ set",
    *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")),
    *(f"torch {kind}" for kind in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")),
}
"""Every "module name" that state dicts, and the optimizer and scheduler states saved with them, are made of."""

LARGEST_TUPLE = 10_000
"""Elements of a tuple, tuples inside it counted out. One that repeats itself level after level fits in 200 bytes and takes centuries to hash."""

_PUSH = {"NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BININT", "BININT1", "BININT2", "BINFLOAT"}
_PUSH |= {"BINUNICODE", "SHORT_BINSTRING", "LONG1", "GLOBAL", "SHORT_BINUNICODE"}
_POP = {"APPEND": 1, "BUILD": 1, "SETITEM": 2}
_REPLACE = {"BINPERSID": 1, "REDUCE": 2, "NEWOBJ": 2, "STACK_GLOBAL": 2}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PROTOCOL_4 = {"FRAME", "MEMOIZE", "SHORT_BINUNICODE", "STACK_GLOBAL"}
"""torch.load does not know these; they are followed to name what the file would call."""


class Refused(Exception):
    """The reason, as it follows the file's name in a message."""


def scan(file: BytesIO | mmap) -> str:
    """Reads one pickle from `file`, up to and with its STOP. Raises Refused if weights would not be made of it, ValueError if it is no pickle.

    Returns the first opcode that torch.load does not know although it is harmless, "" if there is none.
    """
    stack: list[int | str] = []  # texts as they are, of everything else the counted-out size: 1 for what is not a tuple
    marks: list[int] = []
    memo: dict[int, int | str] = {}
    unread = ""
    try:
        for opcode, operand, _ in pickletools.genops(file):  # type: ignore[arg-type]  # it needs read and readline only
            name = opcode.name
            argument: Any = f"{stack[-2]} {stack[-1]}" if name == "STACK_GLOBAL" else operand
            if name in ("GLOBAL", "INST", "STACK_GLOBAL") and argument not in ALLOWED:
                raise Refused(f"it needs code to be executed to load: {argument.replace(' ', '.')[:80]}")
            if name in _PROTOCOL_4:
                unread = unread or name
            if name in _PUSH:
                stack.append(argument if isinstance(argument, str) else 1)
            elif name == "MARK":
                marks.append(len(stack))
            elif name in _TUPLES or name == "TUPLE":
                first = marks.pop() if name == "TUPLE" else _checked(len(stack) - _TUPLES[name])
                size = 1 + sum(item if isinstance(item, int) else 1 for item in stack[first:])
                if size > LARGEST_TUPLE:
                    raise Refused("it holds a tuple of more elements than any weights file has")
                stack[first:] = [size]
            elif name in ("APPENDS", "SETITEMS"):
                del stack[marks.pop() :]
            elif name in _POP:
                del stack[_checked(len(stack) - _POP[name]) :]
            elif name in _REPLACE:
                stack[_checked(len(stack) - _REPLACE[name]) :] = [1]
            elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name not in ("PROTO", "STOP", "FRAME"):
                raise Refused(f"it uses the pickle opcode {name}, which torch.save never writes")
    except (IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError("the pickle is damaged") from error
    return unread


def _checked(index: int) -> int:
    """A place in the stack; damaged pickles take off more than there is."""
    if index < 0:
        raise IndexError(index)
    return index
