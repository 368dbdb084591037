"""Hostile inputs: valid files, damaged in ways that reach every depth of a reader. The same random generator gives the same bytes."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

Make = Callable[[Random], bytes]

NUMBERS = ["0", "-1", "1e999", "-1e-999", "NaN", "Infinity", "nan", "-inf", "0.1", "1_000", "2.0", "true", "null", "-0", "1e5"]
NUMBERS += ["1" * 30, "9" * 5000, "0x" + "f" * 5000]
TEXTS = [
    '""',
    '"\\ud800"',
    '"\\u0000"',
    "'" + "a" * 5000 + "'",
    '"../../etc/passwd"',
    '"\\n\\u2028\\u202e"',
    '"漢字🦜"',
    "1979-05-27",
    "[]",
    "{}",
    "[[[1]]]",
]
LETTERS = ["\0", "\ufeff", "\r", "\x1b[2J", "\u2028", "é", "🦜", "\x7f", "\\", '"', "'", "#", "=", ".", "[", "]", "{", "}", ",", ":", "\n\n", "\t"]
SCALARS = [None, True, False, 0, -1, 2**31, 2**53, 2**63, -(2**70), 0.5, 1e308, [], {}, [[]], {"a": {}}]
SCALARS += ["", "x", "\0", "a\nb", "\u2028", "../x", "/etc/passwd", "漢" * 300, "f" * 64]


def mutated(data: bytes, random: Random) -> bytes:
    """One to eight local damages: flipped bits, cuts, repeats, moved pieces, foreign bytes."""
    out = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 4, 8])):
        place = random.randrange(len(out) + 1) if out else 0
        length = random.choice([1, 1, 2, 4, 8, 64, 1000])
        kind = random.randrange(7)
        if kind == 0 and out:
            out[min(place, len(out) - 1)] ^= 1 << random.randrange(8)
        elif kind == 1:
            del out[place:]
        elif kind == 2:
            del out[place : place + length]
        elif kind == 3:
            out[place:place] = out[place : place + length] * random.choice([1, 2, 50])
        elif kind == 4:
            out[place:place] = random.randbytes(length)
        elif kind == 5:
            out[place : place + length] = random.choice([b"\0", b"\xff", b"\x7f"]) * length
        else:
            source = random.randrange(len(out) + 1)
            out[place : place + length] = out[source : source + length]
    return bytes(out)


def mutated_text(text: str, random: Random) -> bytes:
    """Damage that keeps most of a text's syntax: other values, doubled and swapped lines, deep nesting, odd letters."""
    for _ in range(random.choice([1, 1, 2, 3])):
        kind = random.randrange(8)
        if kind in (0, 1):
            spots = list(re.finditer(r"(?<=[=:\[, ])[ ]*[\w.\"'\-/ ]+", text))
            if spots:
                spot = random.choice(spots)
                text = text[: spot.start()] + " " + random.choice(NUMBERS + TEXTS) + text[spot.end() :]
        elif kind == 2:
            lines = text.splitlines(keepends=True)
            lines.insert(random.randrange(len(lines) + 1), random.choice(lines or ["\n"]))
            text = "".join(lines)
        elif kind == 3:
            words = re.findall(r"\w+", text)
            if words:
                text = text.replace(random.choice(words), random.choice([*words, "", "x", "é", "__class__", "0"]), random.choice([1, -1]))
        elif kind == 4:
            place, depth = random.randrange(len(text) + 1), random.choice([2, 100, 1000, 20_000])
            opening, closing = random.choice([("[", "]"), ("{a=", "}"), ('{"a":', "}"), ("[[", "]]"), ("a.", "")])
            text = text[:place] + opening * depth + "1" + closing * random.choice([depth, 0]) + text[place:]
        elif kind == 5:
            place = random.randrange(len(text) + 1)
            text = text[:place] + random.choice(LETTERS) * random.choice([1, 3, 500]) + text[place:]
        elif kind == 6:
            text = text[: random.randrange(len(text) + 1)]
        else:
            return mutated(text.encode("utf-8", "replace"), random)
    return text.encode("utf-8", "replace")


def mutated_tree(value: Any, random: Random) -> Any:
    """One change somewhere in parsed JSON: another type, a key gone, renamed or added, a list cut or repeated."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key, kind = random.choice(list(value)), random.randrange(10)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[random.choice(["x", "", "a\nb", "\0", key + " ", "漢"])] = value.pop(key)
        else:
            value[key] = mutated_tree(value[key], random)
        return value
    if isinstance(value, list) and value and random.random() < 0.8:
        kind = random.randrange(5)
        if kind == 0:
            return value[:-1]
        if kind == 1:
            return value * random.choice([2, 100])
        value[random.randrange(len(value))] = mutated_tree(value[0], random)
        return value
    return deepcopy(random.choice(SCALARS))


def json_maker(text: str) -> Make:
    """Manifests: damaged as trees, which stay JSON, and as text."""
    tree = json.loads(text)

    def make(random: Random) -> bytes:
        if random.random() < 0.6:
            changed = deepcopy(tree)
            for _ in range(random.choice([1, 1, 2, 5])):
                changed = mutated_tree(changed, random) if isinstance(changed, dict) else changed
            return json.dumps(changed, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
        return mutated_text(text, random)

    return make


def text_maker(texts: list[str]) -> Make:
    return lambda random: mutated_text(random.choice(texts), random)


def safetensors_maker(files: list[bytes]) -> Make:
    """Headers damaged as trees and as text, with true and false lengths; or any byte."""

    def make(random: Random) -> bytes:
        data = random.choice(files)
        (length,) = struct.unpack("<Q", data[:8])
        header, body = data[8 : 8 + length], data[8 + length :]
        kind = random.random()
        if kind < 0.3:
            return mutated(data, random)
        if kind < 0.7:
            tree = json.loads(header)
            key = random.choice(list(tree))
            if random.random() < 0.7:
                tree[key] |= {random.choice(["dtype", "shape", "data_offsets", "x"]): hostile_field(random)}
            else:
                tree[key] = mutated_tree(tree[key], random)
            header = json.dumps(tree).encode()
        else:
            header = mutated_text(header.decode(), random)
        claimed = len(header) if random.random() < 0.8 else random.choice([0, 1, len(header) - 1, len(header) + 1, 2**31, 2**40, 2**63, 2**64 - 1])
        return struct.pack("<Q", max(0, claimed)) + header + (body if random.random() < 0.8 else body[: random.randrange(len(body) + 1)])

    return make


SHAPES = [[], [0], [-1], [2**40], [2**32, 2**32], [0, 2**62], [3, 3, 3, 3], [1] * 70, [0, 0], [5, 2], [0, 2**63], None, 1.5]
DTYPES = ["F64", "F16", "BF16", "F8_E4M3", "F4", "C64", "BOOL", "U64", "I8", "X"]


def hostile_field(random: Random) -> Any:
    return deepcopy(random.choice([*SHAPES, *DTYPES]))


class _Call:
    """Pickles as a call, made when the file is loaded by anything that executes pickles."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def traps() -> list[bytes]:
    """Pickles that create the file `trap` in the working folder if they are executed, in every protocol."""
    calls = [_Call(os.system, "touch trap"), _Call(os.mkdir, "trap"), _Call(eval, "open('trap', 'w')"), _Call(exec, "open('trap', 'w').close()")]
    return [pickle.dumps({"head.0.weight": call}, protocol) for call in calls for protocol in range(6)]


OPCODES = [
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"cbuiltins\nbytearray\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n",
    b"ccollections\nCounter\n",
    b"ctorch\nSize\n",
    b"ctorch\ndevice\n",
    b"ctorch\nfloat32\n",
    b"cbuiltins\nset\n",
    b"\x8a\x06" + (10**12).to_bytes(6, "little"),
    b"J\xff\xff\xff\x7f",
    b"J\x00\x00\x00\x80",
    b"X\xff\xff\xff\xff",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
    *(bytes([code]) for code in b"(.0123abdehijloqrstu}])NQRGIKLMVX\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8f\x90\x93\x94\x95"),
    b"q\x00h\x00\x86" * 30,
    b"(K\x01t",
    b"K\x00",
    b")R",
]


def mutated_pickle(data: bytes, random: Random) -> bytes:
    if random.random() < 0.3:
        return mutated(data, random)
    for _ in range(random.choice([1, 1, 2, 4])):
        place = random.randrange(len(data) + 1)
        data = data[:place] + random.choice(OPCODES) + data[place + random.choice([0, 0, 1, 2, 5]) :]
    return data


def torch_maker(zips: list[bytes], legacy: list[bytes]) -> Make:
    """Archives with damaged pickles under true checksums, damaged records, traps, and any byte of both formats."""
    bombs = traps()

    def make(random: Random) -> bytes:
        kind = random.random()
        if kind < 0.1:
            return mutated(random.choice(zips), random)
        if kind < 0.3:
            return mutated(random.choice(legacy), random)
        if kind < 0.4:
            return mutated_pickle(random.choice(legacy), random)
        if kind < 0.45:
            return random.choice(bombs)
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(random.choice(zips))) as source, zipfile.ZipFile(buffer, "w") as target:
            for entry in source.infolist():
                content, name = source.read(entry), entry.filename
                if name.endswith("data.pkl"):
                    content = random.choice(bombs) if random.random() < 0.1 else mutated_pickle(content, random)
                elif random.random() < 0.03:
                    content = mutated(content, random)
                elif random.random() < 0.02:
                    name = random.choice(["x", "../trap", name + "x", name.upper(), "archive/code/x.py", "archive/constants.pkl", "é" * 100])
                target.writestr(name, content, random.choice([zipfile.ZIP_STORED] * 30 + [zipfile.ZIP_DEFLATED]))
        return buffer.getvalue()

    return make


PROGRAM_TEXTS = [
    "__import__('os').system('touch trap')",
    "Pow(Integer(10), Integer(1000000000))",
    "Symbol('s0', positive=True, integer=True)",
    "torch.os.system",
    "torch.hub.load",
    "torch.ops.aten.from_file.default",
    "torch.ops.aten.relu.default",
    "_operator.getitem",
    "x=open('trap','w')",
    "lambda",
    "weight_0",
    "../trap",
    "",
]


def program_maker(data: bytes) -> Make:
    """Exported programs: graphs and configurations damaged as trees, hostile texts anywhere in them, traps as pickles, any byte."""
    bombs = traps()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def make(random: Random) -> bytes:
        if random.random() < 0.1:
            return mutated(data, random)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for name, content in members.items():
                if name.endswith(".json") and random.random() < 0.4:
                    tree = json.loads(content)
                    for _ in range(random.choice([1, 1, 2, 4])):
                        tree = mutated_tree(tree, random) if random.random() < 0.4 else with_text(tree, random)
                    content = json.dumps(tree).encode()
                elif name.endswith(".pt") and random.random() < 0.1:
                    content = random.choice(bombs) if random.random() < 0.3 else mutated(content, random)
                elif random.random() < 0.03:
                    content = mutated(content, random)
                elif random.random() < 0.02:
                    name = random.choice(["x", "../trap", "/trap", name + "x", name.upper(), "good/code/x.py", "good/data/weights/model.pt"])
                target.writestr(name, content, random.choice([zipfile.ZIP_STORED] * 30 + [zipfile.ZIP_DEFLATED]))
        return buffer.getvalue()

    return make


def with_text(value: Any, random: Random) -> Any:
    """A hostile text in place of some text or number, or as a key, somewhere in parsed JSON."""
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        if random.random() < 0.03:
            value[random.choice(PROGRAM_TEXTS)] = value.pop(key)
        else:
            value[key] = with_text(value[key], random)
        return value
    if isinstance(value, list) and value:
        place = random.randrange(len(value))
        value[place] = with_text(value[place], random)
        return value
    return random.choice(PROGRAM_TEXTS)
