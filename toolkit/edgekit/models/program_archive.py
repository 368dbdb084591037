"""What of a .pt2 file may reach torch.export.load, which is not made for files of strangers.

torch unpickles members of the archive, evaluates the expressions of symbolic sizes as Python (sympy's `sympify`), runs guards as Python, resolves operators
as attributes of `torch`, and writes names into code that it compiles. So nothing is handed on as it came: each member is read here, held against what
torch.export.save writes, and a new archive is made of what passed. Compiled code, scripts and custom objects have no place in it.
"""

from __future__ import annotations

import io
import json
import keyword
import re
import stat
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from edgekit.errors import InvalidCheckpoint
from edgekit.models import checkpoint

LARGEST_JSON = 64 * 2**20
MOST_MEMBERS = 100_000
AGAIN = "export it again with torch.export.save of torch 2.8 or newer, from a network in eval mode on the CPU"

_COPIED = ("archive_version", "byteorder")
_IGNORED = (".data/version", ".data/serialization_id", "archive_format")
_RECORD = re.compile(r"data/(weights/weight_\d+|constants/tensor_\d+)")
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PICKLED = ("data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt")
_MODEL = "models/model.json"

_OPERATOR = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|torch\.(sym_int|sym_float|sym_max|sym_min|sym_not)|math\.(ceil|floor|trunc)"
)
_FILES = ("from_file", "save")
"""Operators of aten that open files."""
_STRINGS = {"none", "tanh", "mean", "sum", "reflect", "replicate", "constant", "circular", "floor", "trunc", "ij", "xy", "same", "valid"}
"""Texts that operators take: the kind of GELU, padding, reduction, rounding or indexing."""
_EXPRESSION = re.compile(
    r"((Symbol|Integer|Rational|Mul|Add|FloorDiv|Mod|PythonMod|ModularIndexing|CleanDiv|CeilDiv|IntTrueDiv|FloatTrueDiv|TruncToInt|CeilToInt|FloorToInt"
    r"|ToFloat|Max|Min|Eq|Ne|Equality|Unequality|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan|And|Or|Not)\("
    r"|'[su]\d{1,9}'|(positive|nonnegative|integer)=(True|False)|-?\d{1,12}|[), ])*"
)
_NAME = re.compile(r"[A-Za-z_]\w{0,200}")
_PATH = re.compile(r"\w+(\.\w+)*")
_REFUSED = {
    "as_graph": "a graph inside its graph, as control flow and torch.no_grad make them",
    "as_custom_obj": "a custom object",
    "custom_obj": "a custom object",
    "as_operator": "an operator as an argument",
    "as_string_to_argument": "a dictionary as an argument",
}


class Refused(Exception):
    """The reason, as it follows the file's name in a message."""


def cleaned(path: Path) -> io.BytesIO:
    """The archive as torch.export.load may have it. Raises InvalidCheckpoint, one line."""
    size = checkpoint.file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, size)
            return _rebuilt(members, size)
    except Refused as error:
        raise InvalidCheckpoint(f"{path}: {error}; refused: {AGAIN}") from error
    except InvalidCheckpoint as error:
        raise InvalidCheckpoint(f"{path}: {error}") from error
    except Exception as error:  # a damaged archive or tree raises nearly anything
        raise InvalidCheckpoint(f"{path}: is truncated, damaged or no file of torch.export.save ({checkpoint.brief(error)}); {AGAIN}") from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    """Name below the root folder -> bytes, with true checksums."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(name.split("/")[1:2] == ["code"] or name.endswith("/constants.pkl") for name in names):
        raise Refused("is a TorchScript archive, which is code; expected a file of torch.export.save")
    if len(entries) > MOST_MEMBERS or len({name.lower() for name in names}) != len(names) or len({name.split("/")[0] for name in names}) != 1:
        raise Refused("the archive holds one name twice, or more than one folder")
    for entry in entries:
        if entry.filename.startswith("/") or "\\" in entry.filename or ".." in entry.filename.split("/") or stat.S_ISLNK(entry.external_attr >> 16):
            raise Refused(f"the archive holds a link or an absolute name ({entry.filename[:60]!r})")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise Refused("the archive is compressed or encrypted, which torch.export.save never does")
    if sum(entry.file_size for entry in entries) > size:
        raise Refused(f"the archive claims {sum(entry.file_size for entry in entries)} bytes, the file holds {size}")
    return {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}


def _rebuilt(members: dict[str, bytes], size: int) -> io.BytesIO:
    if members.get("archive_format") != b"pt2" or _MODEL not in members:
        raise Refused("is no exported program with one model named 'model'")
    passed: dict[str, bytes] = {}
    for name, data in members.items():
        if name == _MODEL:
            passed[name] = _json(data, name, _program)
        elif name in _CONFIGS:
            passed[name] = _json(data, name, partial(_payload, folder=name.rpartition("/")[0], members=members, size=size))
        elif name in _PICKLED:
            checkpoint.require_tensors_only(data, f"its {name}")
            passed[name] = data
        elif name in _COPIED or _RECORD.fullmatch(name):
            passed[name] = data
        elif name not in _IGNORED:
            raise Refused(f"the archive holds {name[:80]!r}, which is no part of a plain exported network")
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name, data in {"archive_format": b"pt2", **passed}.items():
        if name != "byteorder":
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    buffer.seek(0)
    return buffer


def _json(data: bytes, name: str, clean: Callable[[Any], Any]) -> bytes:
    if len(data) > LARGEST_JSON:
        raise Refused(f"its {name} has {len(data)} bytes; expected at most {LARGEST_JSON}")
    return json.dumps(clean(json.loads(data))).encode()


def _program(found: Any) -> Any:
    """The graph without stack traces, guards and call signatures of inner modules, every text in it held against what its place may hold."""
    # Ranges of derived sizes (4*s0) follow from those of their symbols.
    ranges = {name: limits for name, limits in found["range_constraints"].items() if _NAME.fullmatch(name)}
    plain = _walk({**found, "range_constraints": ranges}, "")
    module = plain["graph_module"]
    module["module_call_graph"] = [entry for entry in module["module_call_graph"] if entry["fqn"] == ""]
    return plain


def _walk(value: Any, key: str) -> Any:
    """`key`: under which `value` stands; items of a list stand under their list's."""
    if key in _REFUSED and value is not None:
        raise Refused(f"it holds {_REFUSED[key]}")
    if key in ("metadata", "treespec_namedtuple_fields"):
        return {}
    if key == "guards_code":
        return []
    if isinstance(value, dict):
        for name in value:
            # Values and symbols stand in dicts by name; the schema's own keys are names, too.
            if not _NAME.fullmatch(name) or keyword.iskeyword(name):
                raise Refused(f"it holds the name {name[:60]!r}")
        return {name: _walk(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, key) for inner in value]
    if isinstance(value, str) and not _fits(value, key):
        raise Refused(f"it holds {value[:80]!r} as {key[:40] or 'its content'}")
    return value


def _fits(text: str, key: str) -> bool:
    if key == "target":
        return bool(_OPERATOR.fullmatch(text)) and text.split(".")[-2] not in _FILES
    if key == "expr_str":
        return len(text) <= 2000 and bool(_EXPRESSION.fullmatch(text))
    if key in ("in_spec", "out_spec"):
        return text == "" or _is_plain_tree(json.loads(text))
    if key == "as_string":
        return text in _STRINGS
    if key in ("as_float", "as_floats"):
        return text in ("Infinity", "-Infinity", "NaN")
    if key == "type":
        return text == "cpu"
    if key == "torch_version":
        return len(text) < 60
    if key == "verifiers":
        return text in ("ATEN", "TRAINING", "")
    if key in ("parameter_name", "buffer_name", "tensor_constant_name", "fqn"):
        return text == "" or bool(_PATH.fullmatch(text))
    return text == "" or (bool(_NAME.fullmatch(text)) and not keyword.iskeyword(text))


def _is_plain_tree(tree: Any) -> bool:
    """[1, how arguments nest]: tuples, lists and dicts with plain keys, nothing that is made by its name."""
    if not isinstance(tree, list) or len(tree) != 2 or tree[0] != 1:
        return False
    nodes = [tree[1]]
    for node in nodes:
        if node.get("type") not in (None, "builtins.tuple", "builtins.list", "builtins.dict"):
            return False
        context = node.get("context")
        if not (context is None or (isinstance(context, str) and re.fullmatch(r"null|\[[\w\s\",.]*\]", context))):
            return False
        nodes += node["children_spec"]
    return True


def _payload(found: Any, folder: str, members: dict[str, bytes], size: int) -> Any:
    """Which record holds which tensor. No tensor claims more numbers than the file can hold."""
    total = 0
    for name, one in found["config"].items():
        if not _PATH.fullmatch(name):
            raise Refused(f"it holds the name {name[:60]!r}")
        record = f"{folder}/{one['path_name']}"
        if record not in members or not _RECORD.fullmatch(record):
            raise Refused(f"{name[:60]} is in {record[:80]!r}, which is no record of numbers in it")
        if one["use_pickle"]:
            checkpoint.require_tensors_only(members[record], f"its {record}")
            continue
        count = 1
        for side in one["tensor_meta"]["sizes"]:
            if set(side) != {"as_int"} or not isinstance(side["as_int"], int) or side["as_int"] < 0:
                raise Refused(f"the size of {name[:60]} is {str(side)[:60]}")
            count *= side["as_int"]
        total += count
        if count and not members[record]:
            raise Refused(f"{name[:60]} claims {count} numbers in an empty record")
    if total > 4 * size:
        raise Refused(f"its tensors claim {total} numbers, the file holds {size} bytes")
    return {"config": {name: {**one, "tensor_meta": _walk(one["tensor_meta"], "tensor_meta")} for name, one in found["config"].items()}}
