"""Places in order, by whole numbers that are larger than int16 holds, in fp16 files."""

import pytest
import torch
from torch import nn

from edgekit.models.traceable import in_order
from edgekit.recipe import Quantize
from edgekit_targets.coreml import CoreML

pytest.importorskip("edgekit_targets.coreml.library")
from edgekit_targets.coreml.host import EvaluatorSession


class Sorted(nn.Module):
    """Sorts a picture's places by their value in eighths."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = x.flatten(1)
        steps = (places.unsqueeze(-1) > torch.arange(1, 8) / 8).to(places.dtype).sum(-1)
        return places.gather(1, in_order(steps.long(), 8)).view(x.shape)


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_the_order_of_many_places(precision, tmp_path):
    x = torch.rand(1, 1, 96, 80, generator=torch.Generator().manual_seed(0)).half().float()
    network = Sorted().eval()
    made = CoreML().lower(network, (x,), Quantize(precision) if precision else None, [(x,)], tmp_path / "m.mlpackage")
    (got,) = EvaluatorSession(made.file)((x,))
    wanted = network(x)
    assert not torch.equal(wanted, x) and torch.equal(got, wanted)
