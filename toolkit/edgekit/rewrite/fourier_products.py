"""Fourier transforms of pictures of a fixed size become products with the matrices of cosines and sines, and complex numbers pairs of real ones.

Why: ExecuTorch's core operators have no complex numbers, litert-torch no orthonormal transform, and no phone runtime computes either in its fast part. The sides
are small where networks use them: 8x8 patches (FFTformer) or an eighth of the picture (LaMa). A picture of n x n takes about 6 n^3 multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgekit.rewrite.graph import arguments, aten, constant_node, dtype_of, shape_of

Pair = tuple[Any, Any]
"""The real and the imaginary part."""

FORWARD = (aten.fft_rfft2.default, aten.fft_rfftn.default)
INVERSE = (aten.fft_irfft2.default, aten.fft_irfftn.default)
PARTS = {aten.real.default: 0, aten.imag.default: 1}
SUMS = (aten.add.Tensor, aten.sub.Tensor)


def fourier_products(graph: GraphModule) -> int:
    """Returns the number of transforms replaced: real ones over the last two sides, and their inverses. None is, if the graph computes anything else with
    complex numbers than sums, products, and their parts."""
    touched = [node for node in graph.graph.nodes if _is_complex(node) or any(map(_is_complex, node.all_input_nodes))]
    if not all(map(_is_known, touched)):
        return 0
    writer = _Writer(graph)
    for node in touched:
        with graph.graph.inserting_before(node):
            writer.write(node)
    for node in reversed(touched):
        graph.graph.erase_node(node)
    return sum(node.target in (*FORWARD, *INVERSE) for node in touched)


class _Writer:
    def __init__(self, graph: GraphModule) -> None:
        self.graph = graph
        self.pairs: dict[Node, Pair] = {}

    def write(self, node: Node) -> None:
        if node.target in FORWARD:
            self.pairs[node] = self.forward(node)
        elif node.target is aten.complex.default:
            self.pairs[node] = (node.args[0], node.args[1])
        elif node.target is aten.mul.Tensor:
            self.pairs[node] = self.product(*(self.pairs.get(a, a) for a in node.args[:2]))  # type: ignore[arg-type]
        elif node.target in SUMS:
            first, second = (self.pairs[a] for a in node.args[:2])  # type: ignore[index]
            self.pairs[node] = (self.call(node.target, first[0], second[0]), self.call(node.target, first[1], second[1]))
        else:
            whole = self.inverse(node) if node.target in INVERSE else self.pairs[node.args[0]][PARTS[node.target]]  # type: ignore[index]
            whole.meta.setdefault("val", node.meta["val"])
            node.replace_all_uses_with(whole)

    def product(self, first: Any, second: Any) -> Pair:
        """Of two complex numbers, or of a complex and a real one."""
        if not isinstance(first, tuple):
            first, second = second, first
        (a, b), mul = first, self.multiplied
        if not isinstance(second, tuple):
            return mul(a, second), mul(b, second)
        c, d = second
        return self.call(aten.sub.Tensor, mul(a, c), mul(b, d)), self.call(aten.add.Tensor, mul(a, d), mul(b, c))

    def forward(self, node: Node) -> Pair:
        """Along the rows, then along the columns. With F = C - iS: the real part is C A + S B of the rows' A + iB, the imaginary part C B - S A."""
        source = node.args[0]
        height, width = _shape(source)[-2:]
        picture = self.call(aten.reshape.default, source, [-1, height, width])
        half = _angles(width)[:, : width // 2 + 1]
        factor = _factor(node, height * width, inverse=False)
        across = self.matmul(node, picture, half.cos() * factor), self.matmul(node, picture, -half.sin() * factor)
        a, b = (self.transposed(part) for part in across)
        cosines, sines = _angles(height).cos(), _angles(height).sin()
        real = self.call(aten.add.Tensor, self.matmul(node, a, cosines), self.matmul(node, b, sines))
        imaginary = self.call(aten.sub.Tensor, self.matmul(node, b, cosines), self.matmul(node, a, sines))
        shape = list(_shape(node))
        return self.call(aten.reshape.default, self.transposed(real), shape), self.call(aten.reshape.default, self.transposed(imaginary), shape)

    def inverse(self, node: Node) -> Node:
        """Along the columns, then along the rows, where all but the first and the Nyquist frequency stand for their mirrored ones too."""
        height, width = _shape(node)[-2:]
        half = _shape(node.args[0])[-1]
        a, b = (
            self.transposed(self.call(aten.reshape.default, part, [-1, height, half]))
            for part in self.pairs[node.args[0]]  # type: ignore[index]
        )
        cosines, sines = _angles(height).cos(), _angles(height).sin()
        real = self.transposed(self.call(aten.sub.Tensor, self.matmul(node, a, cosines), self.matmul(node, b, sines)))
        imaginary = self.transposed(self.call(aten.add.Tensor, self.matmul(node, a, sines), self.matmul(node, b, cosines)))
        often = torch.full((half, 1), 2 * _factor(node, height * width, inverse=True), dtype=torch.float64)
        often[[0, -1] if width % 2 == 0 else [0]] /= 2
        angles = _angles(width)[:half]
        whole = self.call(aten.sub.Tensor, self.matmul(node, real, often * angles.cos()), self.matmul(node, imaginary, often * angles.sin()))
        return self.call(aten.reshape.default, whole, list(_shape(node)))

    def matmul(self, node: Node, x: Node, matrix: Tensor) -> Node:
        kind = torch.float64 if dtype_of(node) in (torch.float64, torch.complex128) else torch.float32
        return self.call(aten.matmul.default, x, constant_node(self.graph, node, "fourier", matrix.to(kind)))

    def multiplied(self, a: Any, b: Any) -> Node:
        return self.call(aten.mul.Tensor, a, b)

    def transposed(self, x: Node) -> Node:
        return self.call(aten.transpose.int, x, 1, 2)

    def call(self, operator: Callable[..., Any], *operands: Any) -> Node:
        return self.graph.graph.call_function(operator, operands)


def _is_complex(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, Tensor) and value.is_complex()


def _shape(node: Any) -> tuple[int, ...]:
    shape = shape_of(node)
    assert shape is not None
    return shape


def _is_known(node: Node) -> bool:
    if node.target in (*FORWARD, *INVERSE):
        source, size, dims, norm = arguments(node)
        shape = shape_of(source)
        picture = shape_of(node if node.target in INVERSE else source)
        if shape is None or picture is None or len(shape) < 3 or norm not in (None, "backward", "ortho", "forward"):
            return False
        last = dims is not None and [d % len(shape) for d in dims] == [len(shape) - 2, len(shape) - 1]
        return (
            last
            and (size is None or list(size) == list(picture[-2:]))
            and (node.target in FORWARD or shape[-2:] == (picture[-2], picture[-1] // 2 + 1))
        )
    if node.target in SUMS:
        return all(map(_is_complex, node.args[:2])) and not node.kwargs
    return node.target in (aten.complex.default, aten.mul.Tensor, *PARTS)


def _angles(side: int) -> Tensor:
    """(side, side) float64: 2 pi k n / side, reduced to one turn."""
    steps = torch.arange(side)
    return torch.outer(steps, steps).remainder(side).double() * (2 * math.pi / side)


def _factor(node: Node, pixels: int, *, inverse: bool) -> float:
    norm = arguments(node)[3] or "backward"
    if norm == "ortho":
        return pixels**-0.5
    return 1 / pixels if (norm == "backward") == inverse else 1.0
