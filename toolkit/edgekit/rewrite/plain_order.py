"""Features that a permutation left channels-last are laid out anew at once.

Why: torch notes strides, and every operator behind such features inherits them; ExecuTorch turns them into a change of layout in front of each PixelShuffle, outside
XNNPACK, and fails in the file where two operands of an addition differ. In XNNPACK itself the copy is none: its permutation writes a new tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, writes


def plain_order(graph: GraphModule) -> int:
    """Returns the number of places: the first operators whose results (N, C, H, W) are channels-last and not written to in place."""
    found = [node for node in graph.graph.nodes if node.op == "call_function" and _is_channels_last(node)]
    origins = [node for node in found if not any(_is_channels_last(source) for source in node.all_input_nodes)]
    origins = [
        node for node in origins if any(user.target is not aten.contiguous.default for user in node.users) and not any(map(writes, node.users))
    ]
    for node in origins:
        with graph.graph.inserting_after(node):
            plain = graph.graph.call_function(aten.contiguous.default, (node,))
        plain.meta["val"] = node.meta["val"].contiguous()
        node.replace_all_uses_with(plain, delete_user_cb=lambda user, plain=plain: user is not plain)
    return len(origins)


def _is_channels_last(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
