"""Attention as PyTorch's own operator and layers write it, which counts as random because it could drop out."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import EXACT, Formula, exact, operators, picture, seeded
from torch import nn

from edgekit import rewrite
from edgekit.backend import FOLDS
from edgekit.errors import LoweringError


def heads(x):
    """(1, 3, 11, 9): three heads, eleven tokens."""
    return x.transpose(-2, -1)


MASKS = {
    "none": lambda x: {},
    "causal": lambda x: {"is_causal": True},
    "added": lambda x: {"attn_mask": x.mean((1, 2))[:, None, None, :].log()},
    "boolean": lambda x: {"attn_mask": torch.ones(11, 11, dtype=torch.bool).tril(2)},
    "scaled": lambda x: {"scale": 0.3},
}


@EXACT
@given(mask=st.sampled_from(sorted(MASKS)), seed=st.integers(0, 99))
def test_attention_is_written_out(mask, seed):
    net = Formula(lambda x: F.scaled_dot_product_attention(heads(x), heads(x) + 1, heads(x).exp(), **MASKS[mask](x)))
    result = exact(net.eval(), picture(seed=seed), "attention")
    assert result.changes == {"attention": 1} and operators(result)["matmul"] == 2 and operators(result)["softmax"] == 1


class Tokens(nn.Module):
    """The picture's pixels as tokens of its channels, through a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        given = (tokens, tokens, tokens) if isinstance(self.layer, nn.MultiheadAttention) else (tokens,)
        made = self.layer(*given)
        return (made if isinstance(made, torch.Tensor) else made[0]).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.MultiheadAttention(4, 2, batch_first=True, dropout=0.1),
        lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
        lambda: nn.LSTM(4, 4, batch_first=True),
        lambda: nn.GRU(4, 4, batch_first=True),
    ],
    ids=["MultiheadAttention", "TransformerEncoderLayer", "LSTM", "GRU"],
)
def test_layers_that_could_drop_out_are_not_refused_as_random(layer):
    exact(seeded(Tokens(layer())), picture(4), *FOLDS)


def test_what_does_drop_out_is_refused():
    net = Formula(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1)).eval()
    with pytest.raises(LoweringError, match="draws random numbers"):
        rewrite.apply(net, (picture(),), FOLDS)
