"""The output is clamped to [0, 1] inside the graph, so that no app has to, and an integer file's last range is known exactly."""

from __future__ import annotations

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import aten, only_user, outputs


def clamp(graph: GraphModule) -> int:
    """Clamps every output. A clamp commutes with PixelShuffle, so it stands before it, where runtimes fuse it into the convolution. An output
    that the network clamps already is not clamped twice. Returns their number."""
    output, nodes = outputs(graph)
    for node in nodes:
        if node.target is aten.clamp.default and tuple(node.args[1:]) == (0, 1) and only_user(node) is output:
            output.replace_input_with(node, node.args[0])  # type: ignore[arg-type]
            graph.graph.erase_node(node)
    output, nodes = outputs(graph)
    for node in nodes:
        shuffle = node if node.target is aten.pixel_shuffle.default and only_user(node) is output else None
        inner = shuffle.args[0] if shuffle else node
        assert isinstance(inner, Node)
        with graph.graph.inserting_after(inner):
            clamped = graph.graph.call_function(aten.clamp.default, (inner, 0.0, 1.0))
        if shuffle:
            shuffle.replace_input_with(inner, clamped)
        else:
            output.replace_input_with(inner, clamped)
    return len(nodes)
