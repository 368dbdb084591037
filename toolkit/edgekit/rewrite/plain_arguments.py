"""What PyTorch completes or converts by itself is said in full: the stride of pooling that has none of its own, fractional bounds of a fractional clamp.

Why: torch.export writes down what was called. coremltools (9.0) refuses `F.max_pool2d(x, 2)`, and torch.onnx (2.13) `x.clamp(1e-4, 1)`.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, dtype_of


def plain_arguments(graph: GraphModule) -> int:
    """Returns the number of operators changed."""
    changed = 0
    for node in calls(graph, aten.max_pool2d.default, aten.avg_pool2d.default):
        source, window, stride, *rest = arguments(node)
        if not stride:
            node.args, node.kwargs = (source, list(window), list(window), *rest), {}
            changed += 1
    for node in calls(graph, aten.clamp.default):
        source, *bounds = arguments(node)
        plain = [float(bound) if isinstance(bound, int) else bound for bound in bounds]
        if dtype_of(node).is_floating_point and list(map(type, plain)) != list(map(type, bounds)):
            node.args, node.kwargs = (source, *plain), {}
            changed += 1
    return changed
