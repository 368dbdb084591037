"""What the rewrites' tests share: apply in float64, compare with the network itself, count."""

from collections import Counter

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn

from edgekit import rewrite

EXACT = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
"""Each example traces a network, which takes a third of a second."""


def seeded(net: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic random, in float64 and evaluation mode: an offset of zero or a variance of one would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*net.named_parameters(), *net.named_buffers()]:
        if value.is_floating_point():
            uniform = torch.rand(value.shape, generator=generator)
            value.data = uniform + 0.5 if "running_var" in name else uniform - 0.5
    return net.double().eval()


def picture(channels: int = 3, height: int = 9, width: int = 11, seed: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sides(most: int, least: int = 1) -> st.SearchStrategy[tuple[int, int]]:
    """Height and width of a kernel, of steps or of a border."""
    return st.tuples(st.integers(least, most), st.integers(least, most))


class Formula(nn.Module):
    """A function of the picture as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def exact(net: nn.Module, x: torch.Tensor, *names: str, ring: int = 0) -> rewrite.Rewritten:
    """The rewritten network, compared on other pixels than it was traced with; `ring` outermost output pixels are left out."""
    result = rewrite.apply(net, (x,), names)
    other = torch.rand_like(x)
    with torch.no_grad():
        difference = (result.module(other) - net(other)).abs()
    inside = difference[..., ring : difference.shape[-2] - ring, ring : difference.shape[-1] - ring]
    assert inside.max() < 1e-9, f"off by {float(inside.max()):.2g}"
    return result


def untouched(net: nn.Module, x: torch.Tensor, *names: str) -> None:
    """The rewrites leave the network alone."""
    assert exact(net, x, *names).changes == dict.fromkeys(names, 0)


def operators(result: rewrite.Rewritten) -> Counter[str]:
    """`conv2d`, `add` ... -> how often the graph calls it; `getitem` is none."""
    called = (str(n.target).split(".") for n in result.module.graph.nodes if n.op == "call_function")
    return Counter(parts[1] for parts in called if parts[0] == "aten")
