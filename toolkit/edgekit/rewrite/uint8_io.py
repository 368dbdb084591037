"""The file takes and gives 8-bit pixels: in a phone app, converting bitmaps to floats costs more than some models."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, outputs


def uint8_io(graph: GraphModule) -> int:
    """uint8 / 255 at each input, round(255 y) as uint8 at each output. The outputs must already be clamped to [0, 1]. Returns the number of tensors changed."""
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node in inputs:
        value = node.meta["val"]
        node.meta["val"] = value.new_empty(value.shape, dtype=torch.uint8)
        users = list(node.users)
        with graph.graph.inserting_after(node):
            cast = graph.graph.call_function(aten.to.dtype, (node, torch.float32))
        with graph.graph.inserting_after(cast):
            scaled = graph.graph.call_function(aten.mul.Tensor, (cast, 1 / 255))
        for user in users:
            user.replace_input_with(node, scaled)
    output, nodes = outputs(graph)
    for node in nodes:
        with graph.graph.inserting_before(output):
            levels = graph.graph.call_function(aten.mul.Tensor, (node, 255.0))
            # + 0.5 and truncation: every runtime casts the same way, while their round operators differ on ties.
            half_up = graph.graph.call_function(aten.add.Tensor, (levels, 0.5))
            pixels = graph.graph.call_function(aten.to.dtype, (half_up, torch.uint8))
        output.replace_input_with(node, pixels)
    return len(inputs) + len(nodes)
