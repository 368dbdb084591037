"""The product of rows that hold a single one with a codebook becomes a lookup of its entries.

Why: VQ-VAEs and RestoreFormer write a one into zeros and multiply. coremltools (9.0) cannot scatter it, XNNPACK neither; the product reads the whole codebook for
each position, and in int8 it rounds the entries.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, calls, constant, replace, shape_of

PRODUCTS = (aten.matmul.default, aten.mm.default)
CASTS = (aten.to.dtype, aten.to.device, aten._to_copy.default, aten.type_as.default)
ZEROS = (aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default)


def codebook(graph: GraphModule) -> int:
    """Returns the number of products replaced: those of (M, K) rows, each with a one at one place, and a constant (K, C)."""
    changed = 0
    for node in calls(graph, *PRODUCTS):
        rows, entries = node.args[:2]
        stored, places = constant(graph, entries), _places(graph, rows)
        if stored is None or places is None or stored.ndim != 2 or shape_of(rows) is None:
            continue
        with graph.graph.inserting_before(node):
            call = graph.graph.call_function
            found = call(aten.embedding.default, (entries, call(aten.reshape.default, (places, list((shape_of(rows) or ())[:-1])))))
        replace(graph, node, found)
        _erase_unread(graph, rows)
        changed += 1
    return changed


def _erase_unread(graph: GraphModule, node: Any) -> None:
    """The rows, which a scatter in place would keep alive."""
    while isinstance(node, Node) and not node.users and node.target in (*CASTS, aten.scatter_.value):
        source = node.args[0]
        graph.graph.erase_node(node)
        node = source


def _places(graph: GraphModule, node: Any) -> Node | None:
    """Where the ones of (.., K) rows are, one in each, as whole numbers; None if they are not such rows."""
    while isinstance(node, Node) and node.target in CASTS:
        node = node.args[0]
    if not isinstance(node, Node):
        return None
    if node.target is aten.one_hot.default:
        return node.args[0]  # type: ignore[return-value]
    if node.target not in (aten.scatter.value, aten.scatter_.value):
        return None
    into, dim, places, value = arguments(node)[:4]
    shape, spots = shape_of(node), shape_of(places)
    one_each = shape is not None and spots == (*shape[:-1], 1) and dim in (-1, len(shape) - 1) and value == 1
    return places if one_each and _is_zero(graph, into) else None


def _is_zero(graph: GraphModule, node: Any) -> bool:
    while isinstance(node, Node) and node.target in (*CASTS, aten.clone.default):
        node = node.args[0]
    if not isinstance(node, Node):
        return False
    stored = constant(graph, node)
    if stored is not None:
        return not stored.any()
    filled = node.args[1] if node.target in (aten.full.default, aten.full_like.default) else None
    return node.target in ZEROS or (isinstance(filled, int | float) and filled == 0)
