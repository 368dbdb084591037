"""How much of the file XNNPACK executes, read from the interpreter after it has applied the delegate."""
# ruff: noqa: TID253

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from edgekit.backend import Delegation

NOT_IN_XNNPACK = {
    "CAST": "XNNPACK takes no CAST between these types",
    "CONCATENATION": "XNNPACK joins five tensors at most",
    "FULLY_CONNECTED": "XNNPACK multiplies by stored matrices only, and the converter makes this operator of single products of computed ones",
    "GATHER_ND": "XNNPACK has no GATHER_ND",
    "PADV2": "XNNPACK pads with zero only",
    "RELU_0_TO_1": "XNNPACK has no RELU_0_TO_1",
    "RESIZE_NEAREST_NEIGHBOR": "XNNPACK has no nearest-neighbour resize",
    "MIRROR_PAD": "XNNPACK has no MIRROR_PAD",
    "GREATER_EQUAL": "XNNPACK has no comparisons",
    "SELECT": "XNNPACK has no SELECT",
    "SELECT_V2": "XNNPACK has no SELECT_V2",
    "SUM": "XNNPACK takes SUM over some axes only",
}
"""Operator -> reason, where one is known (tensorflow/lite/delegates/xnnpack/README.md)."""


def measure(file: Path) -> Delegation:
    """Counts the operators inside and outside delegate partitions."""
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    details: list[dict[str, Any]] = interpreter._get_ops_details()
    partitions = [d for d in details if d["op_name"] == "DELEGATE"]
    ops = [d for d in details if d["op_name"] != "DELEGATE"]
    producer = {int(t): d["index"] for d in ops for t in d["outputs"]}
    inputs_of = {d["index"]: d["inputs"] for d in ops}
    inside: set[int] = set()
    for partition in partitions:
        # A partition holds everything between its outputs and its inputs.
        given, pending = {int(t) for t in partition["inputs"]}, [int(t) for t in partition["outputs"]]
        while pending:
            tensor = pending.pop()
            op = producer.get(tensor)
            if tensor in given or op is None or op in inside:
                continue
            inside.add(op)
            pending += [int(t) for t in inputs_of[op]]
    leftovers = {
        d["op_name"]: NOT_IN_XNNPACK.get(d["op_name"], "XNNPACK does not take it with these types or shapes") for d in ops if d["index"] not in inside
    }
    return Delegation("xnnpack", len(inside), len(ops), len(partitions), leftovers)
