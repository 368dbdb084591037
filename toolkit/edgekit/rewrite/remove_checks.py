"""Checks that values are as they should be leave the graph.

Why: `F.one_hot` asserts that its indices are classes. litert-torch has no assertions, and ExecuTorch computes eight operators outside XNNPACK for each.
"""

from __future__ import annotations

from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls

CHECKS = (aten._assert_async.msg, aten._assert_async.default, aten._assert_tensor_metadata.default, aten._assert_scalar.default)


def remove_checks(graph: GraphModule) -> int:
    """Returns the number of checks removed."""
    checks = list(calls(graph, *CHECKS))
    for node in checks:
        graph.graph.erase_node(node)
    return len(checks)
