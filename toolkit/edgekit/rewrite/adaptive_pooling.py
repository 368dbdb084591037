"""Adaptive pooling to a size that divides the picture's becomes ordinary pooling, by windows that stand side by side.

Why: `adaptive_max_pool2d` is none of the core operators that ExecuTorch lowers, and litert-torch has no lowering for it: no file of SAFMN was made.
"""

from __future__ import annotations

import operator

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, calls, pair, replace, shape_of


def adaptive_pooling(graph: GraphModule) -> int:
    """Returns the number of poolings replaced: not maxima whose places are read, nor means of the whole picture, which every runtime has."""
    changed = 0
    for node in calls(graph, aten.adaptive_max_pool2d.default, aten.adaptive_avg_pool2d.default):
        source, size = node.args[:2]
        shape, (height, width) = shape_of(source), pair(size)
        mean = node.target is aten.adaptive_avg_pool2d.default
        readers: list[Node] = [node] if mean else [reader for reader in node.users if reader.users]
        places = not mean and any(reader.target is not operator.getitem or reader.args[1] != 0 for reader in readers)
        if shape is None or shape[-2] % height or shape[-1] % width or places or (mean and (height, width) == (1, 1)):
            continue
        window = [shape[-2] // height, shape[-1] // width]
        with graph.graph.inserting_before(node):
            new = graph.graph.call_function(aten.avg_pool2d.default if mean else aten.max_pool2d.default, (source, window, window))
        for reader in readers:
            replace(graph, reader, new)
        changed += 1
    return changed
