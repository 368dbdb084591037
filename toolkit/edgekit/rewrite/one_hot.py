"""One-hot rows become a comparison of each class with all classes.

Why: the converters' own form of `F.one_hot` begins with assertions: litert-torch (0.10) cannot convert those, and ExecuTorch runs them outside XNNPACK.
"""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, constant_node, replace, shape_of


def one_hot(graph: GraphModule) -> int:
    """Returns the number of operators replaced."""
    changed = 0
    for node in calls(graph, aten.one_hot.default):
        shape = shape_of(node)
        if shape is None:
            continue
        classes = constant_node(graph, node, f"{node.name}_classes", torch.arange(shape[-1]))
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            same = call(aten.eq.Tensor, (call(aten.unsqueeze.default, (node.args[0], -1)), classes))
            replace(graph, node, call(aten.to.dtype, (same, torch.int64)))
        changed += 1
    return changed
