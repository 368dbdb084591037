"""ML Program operators in torch: one function each, its parameters named as Core ML names them.

Semantics after the MIL operator reference that comes with coremltools (docstrings of `coremltools.converters.mil.mil.ops.defs`), those of iOS 17 and later.
Floats are computed in float32 whatever the file's type; the evaluator rounds what comes out. Numbers stand for scalars, tensors for everything else.
What the reference leaves open is refused with NotImplementedError.
"""

from __future__ import annotations

from edgekit_targets.coreml.operators import (
    activations,
    arithmetic,
    choices,
    convolutions,
    levels,
    normalizations,
    padding,
    pooling,
    reductions,
    resizing,
    shapes,
)
from edgekit_targets.coreml.operators.values import Operator

OPERATORS: dict[str, Operator] = {
    **activations.OPERATORS,
    **arithmetic.OPERATORS,
    **choices.OPERATORS,
    **convolutions.OPERATORS,
    **levels.OPERATORS,
    **normalizations.OPERATORS,
    **padding.OPERATORS,
    **pooling.OPERATORS,
    **reductions.OPERATORS,
    **resizing.OPERATORS,
    **shapes.OPERATORS,
}
"""Operator's name in the file -> its function. What is not here is not guessed."""
