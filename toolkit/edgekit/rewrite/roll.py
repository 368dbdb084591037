"""torch.roll becomes two slices and a concatenation per rolled side.

Why: ExecuTorch makes arange, fmod and index of it, which XNNPACK does not take and at which its Vulkan lowering fails. Shifted windows (SwinIR) roll twice per
block. The attention masks that go with them are stored once for all blocks by `freeze_parameters`.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, replace, shape_of


def roll(graph: GraphModule) -> int:
    """Returns the number of rolls replaced. One of the flattened tensor (no sides given) is left alone."""
    changed = 0
    for node in calls(graph, aten.roll.default):
        source, shifts, dims = arguments(node)
        shape = shape_of(source)
        if shape is None or not dims:
            continue
        with graph.graph.inserting_before(node):
            call, value = graph.graph.call_function, source
            for shift, dim in zip(shifts, dims, strict=True):
                size = shape[dim]
                if cut := -shift % size:
                    value = call(aten.cat.default, ([call(aten.slice.Tensor, (value, dim, *ends)) for ends in ((cut, size), (0, cut))], dim))
        if value is source:
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
        else:
            replace(graph, node, value)
        changed += 1
    return changed
