"""Scaled dot-product attention is written out: a product, a softmax, a product.

Why: PyTorch counts the operator among those that draw random numbers, because it can drop out. Quantizers know the products, and the rewrites of attention
(`batched_products`) look for them.
"""

from __future__ import annotations

import math

import torch
from torch.fx import GraphModule

from edgekit.rewrite.graph import arguments, aten, calls, constant_node, dtype_of, replace, shape_of

HIDDEN = -1e9
"""Added where a mask hides something: e to that is 0 in float32, and unlike -inf it never makes a whole row undefined."""


def attention(graph: GraphModule) -> int:
    """Returns the number of attentions written out: those without dropout, and with as many heads of keys as of queries."""
    changed = 0
    for node in calls(graph, aten.scaled_dot_product_attention.default):
        query, key, value, mask, dropout, causal, scale, shared = arguments(node)
        sides, keys = shape_of(query), shape_of(key)
        boolean = mask is not None and dtype_of(mask) == torch.bool
        if dropout or shared or sides is None or keys is None:
            continue
        call = graph.graph.call_function
        with graph.graph.inserting_before(node):
            scores = call(aten.matmul.default, (query, call(aten.transpose.int, (key, -2, -1))))
            scores = call(aten.mul.Tensor, (scores, scale if scale is not None else 1 / math.sqrt(sides[-1])))
            if causal:
                hidden = torch.ones(sides[-2], keys[-2]).tril().log().clamp(min=HIDDEN).to(dtype_of(query))
                scores = call(aten.add.Tensor, (scores, constant_node(graph, node, f"{node.name}_mask", hidden)))
            elif boolean:
                shown = call(aten.to.dtype, (mask, dtype_of(query)))
                scores = call(aten.add.Tensor, (scores, call(aten.mul.Tensor, (call(aten.sub.Tensor, (shown, 1.0)), -HIDDEN))))
            elif mask is not None:
                scores = call(aten.add.Tensor, (scores, mask))
            result = call(aten.matmul.default, (call(aten.softmax.int, (scores, -1)), value))
        replace(graph, node, result)
        changed += 1
    return changed
