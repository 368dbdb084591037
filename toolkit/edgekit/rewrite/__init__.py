"""Exact graph rewrites before lowering, one per file. Each takes an ATen graph and says how many places it changed.

"Exact" means: the same function up to float rounding, inside the tile. `collapse_linear` differs in the outermost pixels of a tile where it joins two large
kernels; they lie in the halo and are cut off.

The order in `REWRITES` is the one to apply them in: constants before what reads them, branches before the convolutions that they merge into, reorderings and
ranges before the paddings that they pass, `clamp` last. `edgekit.backend.FOLDS` is what every backend asks for; the others are for what a runtime lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import GraphModule

from edgekit.errors import UnknownName
from edgekit.rewrite.adaptive_pooling import adaptive_pooling
from edgekit.rewrite.attention import attention
from edgekit.rewrite.batched_products import batched_products
from edgekit.rewrite.bicubic import bicubic
from edgekit.rewrite.channel_sums import channel_sums
from edgekit.rewrite.clamp import clamp
from edgekit.rewrite.codebook import codebook
from edgekit.rewrite.collapse_linear import collapse_linear
from edgekit.rewrite.computed_kernels import computed_kernels
from edgekit.rewrite.crop_by_slices import crop_by_slices
from edgekit.rewrite.elu import elu
from edgekit.rewrite.explicit_padding import explicit_padding
from edgekit.rewrite.extremes import extremes
from edgekit.rewrite.fold import fold
from edgekit.rewrite.fold_batch_norm import fold_batch_norm
from edgekit.rewrite.fold_channel_order import fold_channel_order
from edgekit.rewrite.fold_mean_shift import fold_mean_shift
from edgekit.rewrite.fold_scales import fold_scales
from edgekit.rewrite.fourier_products import fourier_products
from edgekit.rewrite.fractions import fractions
from edgekit.rewrite.free_views import free_views
from edgekit.rewrite.freeze_parameters import freeze_parameters
from edgekit.rewrite.group_norm import group_norm
from edgekit.rewrite.half_turns import half_turns
from edgekit.rewrite.hard_sigmoid import hard_sigmoid
from edgekit.rewrite.hardtanh import hardtanh
from edgekit.rewrite.instance_norm import instance_norm
from edgekit.rewrite.layer_norm import layer_norm
from edgekit.rewrite.masked_assignment import masked_assignment
from edgekit.rewrite.merge_branches import merge_branches
from edgekit.rewrite.mish import mish
from edgekit.rewrite.modulated_convolution import modulated_convolution
from edgekit.rewrite.nearest import nearest_features, nearest_picture
from edgekit.rewrite.nearest_by_copies import nearest_by_copies
from edgekit.rewrite.neighbourhoods import neighbourhoods
from edgekit.rewrite.one_hot import one_hot
from edgekit.rewrite.output_padding import output_padding
from edgekit.rewrite.pad_by_slices import circular_padding, pad_by_slices
from edgekit.rewrite.plain_arguments import plain_arguments
from edgekit.rewrite.plain_order import plain_order
from edgekit.rewrite.power import power
from edgekit.rewrite.prelu import prelu
from edgekit.rewrite.rank_limit import rank_limit
from edgekit.rewrite.remove_checks import remove_checks
from edgekit.rewrite.remove_expansions import remove_expansions
from edgekit.rewrite.remove_identities import remove_identities
from edgekit.rewrite.remove_noise import remove_noise
from edgekit.rewrite.repeats import repeats
from edgekit.rewrite.resampling import bicubic_resampling, resampling
from edgekit.rewrite.reshape_views import reshape_views
from edgekit.rewrite.roll import roll
from edgekit.rewrite.separate_calls import separate_calls
from edgekit.rewrite.shorthands import recurrent_layers, shorthands
from edgekit.rewrite.slice_scatter import slice_scatter
from edgekit.rewrite.softplus import softplus
from edgekit.rewrite.sort_by_topk import sort_by_topk
from edgekit.rewrite.split_by_slices import split_by_slices
from edgekit.rewrite.split_concatenation import split_concatenation
from edgekit.rewrite.straight_through import straight_through
from edgekit.rewrite.tiny_addends import tiny_addends
from edgekit.rewrite.trace import forget_unread, note_shapes, to_graph
from edgekit.rewrite.transposed_padding import transposed_padding
from edgekit.rewrite.uint8_io import uint8_io
from edgekit.rewrite.unfolded_windows import unfolded_windows
from edgekit.rewrite.variance import variance
from edgekit.rewrite.vector_norm import vector_norm
from edgekit.rewrite.volume_sampling import volume_sampling
from edgekit.rewrite.wide_padding import wide_padding

REWRITES: dict[str, Callable[[GraphModule], int]] = {
    "masked_assignment": masked_assignment,
    "slice_scatter": slice_scatter,
    "shorthands": shorthands,
    "recurrent_layers": recurrent_layers,
    "volume_sampling": volume_sampling,
    "hard_sigmoid": hard_sigmoid,
    "hardtanh": hardtanh,
    "sort_by_topk": sort_by_topk,
    "attention": attention,
    "freeze_parameters": freeze_parameters,
    "remove_noise": remove_noise,
    "remove_checks": remove_checks,
    "codebook": codebook,
    "one_hot": one_hot,
    "straight_through": straight_through,
    "remove_identities": remove_identities,
    "explicit_padding": explicit_padding,
    "crop_by_slices": crop_by_slices,
    "modulated_convolution": modulated_convolution,
    "computed_kernels": computed_kernels,
    "fold_batch_norm": fold_batch_norm,
    "merge_branches": merge_branches,
    "fold_channel_order": fold_channel_order,
    "fold_scales": fold_scales,
    "fold_mean_shift": fold_mean_shift,
    "collapse_linear": collapse_linear,
    "adaptive_pooling": adaptive_pooling,
    "plain_arguments": plain_arguments,
    "fourier_products": fourier_products,
    "split_concatenation": split_concatenation,
    "wide_padding": wide_padding,
    "pad_by_slices": pad_by_slices,
    "circular_padding": circular_padding,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "variance": variance,
    "vector_norm": vector_norm,
    "power": power,
    "extremes": extremes,
    "fractions": fractions,
    "half_turns": half_turns,
    "channel_sums": channel_sums,
    "bicubic": bicubic,
    "resampling": resampling,
    "bicubic_resampling": bicubic_resampling,
    "nearest_features": nearest_features,
    "nearest_picture": nearest_picture,
    "nearest_by_copies": nearest_by_copies,
    "output_padding": output_padding,
    "transposed_padding": transposed_padding,
    "prelu": prelu,
    "elu": elu,
    "mish": mish,
    "softplus": softplus,
    "unfolded_windows": unfolded_windows,
    "neighbourhoods": neighbourhoods,
    "fold": fold,
    "roll": roll,
    "split_by_slices": split_by_slices,
    "reshape_views": reshape_views,
    "free_views": free_views,
    "batched_products": batched_products,
    "rank_limit": rank_limit,
    "remove_expansions": remove_expansions,
    "repeats": repeats,
    "plain_order": plain_order,
    "separate_calls": separate_calls,
    "tiny_addends": tiny_addends,
    "clamp": clamp,
    "uint8_io": uint8_io,
}


@dataclass(frozen=True)
class Rewritten:
    """`changes` maps each rewrite to the number of places it changed."""

    module: GraphModule
    changes: dict[str, int]


def apply(module: nn.Module, example: tuple[Tensor, ...], names: Sequence[str]) -> Rewritten:
    """Traces a copy of `module` and applies `names` in order; `module` itself is not changed. Raises UnknownName, LoweringError."""
    for name in names:
        if name not in REWRITES:
            raise UnknownName("rewrite", name, REWRITES)
    graph = to_graph(module, example)
    changes: dict[str, int] = {}
    for name in names:
        changes[name] = REWRITES[name](graph)
        graph.graph.eliminate_dead_code()
        graph.recompile()
        if changes[name] and name != names[-1]:
            note_shapes(graph)
    forget_unread(graph)
    return Rewritten(graph, changes)
