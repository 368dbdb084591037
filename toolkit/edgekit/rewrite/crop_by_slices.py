"""Padding by a negative number of pixels is a crop, and is written as slices.

Why: `F.pad(x, (-4, -4, -4, -4))` (RealCUGAN) is refused by Core ML's converter, and ExecuTorch's file of it does not run (error 0x12).
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of


def crop_by_slices(graph: GraphModule) -> int:
    """Returns the number of paddings replaced: those with a constant that crop at least one end. What they add at other ends they add afterwards."""
    changed = 0
    for node in calls(graph, aten.pad.default, aten.constant_pad_nd.default):
        source, pads, *rest = arguments(node)
        mode, shape = rest[0] if node.target is aten.pad.default else "constant", shape_of(source)
        if mode != "constant" or shape is None or not any(pad < 0 for pad in pads):
            continue
        with graph.graph.inserting_before(node):
            value = source
            for i in range(0, len(pads), 2):
                dim, before, after = len(shape) - 1 - i // 2, max(-pads[i], 0), max(-pads[i + 1], 0)
                if before or after:
                    value = graph.graph.call_function(aten.slice.Tensor, (value, dim, before, shape[dim] - after))
            added = [max(pad, 0) for pad in pads]
            if any(added):
                value = graph.graph.call_function(aten.constant_pad_nd.default, (value, added, rest[-1] or 0))
        replace(graph, node, value)
        changed += 1
    return changed
