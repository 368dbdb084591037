"""A transposed convolution with output padding gets a kernel with zeros at its right and bottom instead, which writes those pixels.

Why: litert-torch 0.10 does not convert output padding ("failed to legalize operation 'mhlo.convolution'"). The other backends do, and a larger kernel costs them
multiplications, so only TFLite asks for it.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch.fx import GraphModule

from edgekit.rewrite.graph import aten, calls, replace_conv, transposed_conv_of


def output_padding(graph: GraphModule) -> int:
    """Returns the number of convolutions changed: those whose output padding is a multiple of the dilation."""
    changed = 0
    for node in calls(graph, aten.conv_transpose2d.input):
        conv = transposed_conv_of(graph, node)
        if conv is None or not any(conv.output_padding) or any(o % d for o, d in zip(conv.output_padding, conv.dilation, strict=True)):
            continue
        rows, columns = (o // d for o, d in zip(conv.output_padding, conv.dilation, strict=True))
        replace_conv(graph, conv, F.pad(conv.weight, (0, columns, 0, rows)), conv.bias, padding=conv.padding, output_padding=(0, 0))
        changed += 1
    return changed
