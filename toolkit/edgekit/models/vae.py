"""A denoising variational autoencoder (Kingma, Welling: Auto-Encoding Variational Bayes, ICLR 2014, arXiv 1312.6114; Im et al.: Denoising Criterion for
Variational Auto-Encoding Framework, AAAI 2017, arXiv 1511.06406), convolutional, without a bottleneck of fixed size.

Training samples the latent map; what is exported takes its mean, so the same picture always gives the same result. `log_variance` stays in the checkpoint only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekit.models.checkpoint import fit
from edgekit.models.contract import Contract
from edgekit.models.degrade import noisy
from edgekit.models.shapes import Shapes


class VAE(nn.Module):
    """(N, 3, H, W) float32 RGB in [0, 1] -> the same, in [0, 1]. H and W are multiples of 4."""

    scale = 1
    multiple_of = 4

    def __init__(self, channels: int = 32, latent: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels * 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels * 2, channels * 2, 4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.mean, self.log_variance = nn.Conv2d(channels * 2, latent, 1), nn.Conv2d(channels * 2, latent, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, channels * 2, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels * 2, channels * 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels * 2, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 3, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)
        latent = self.mean(features)
        if self.training:
            latent = latent + torch.randn_like(latent) * torch.exp(0.5 * self.log_variance(features))
        return self.decoder(latent)


def contract(network: VAE) -> Contract:
    return Contract(1, noisy(5, 25), multiple_of=network.multiple_of)


def matches(state: Mapping[str, Tensor]) -> bool:
    return {"encoder.4.weight", "mean.weight", "log_variance.weight", "decoder.6.weight"} <= state.keys()


def from_state_dict(state: Mapping[str, Tensor]) -> VAE:
    """Builds the network whose widths the tensors show. Raises InvalidCheckpoint."""
    shapes = Shapes(state, "VAE")
    with torch.device("meta"):
        network = VAE(shapes.size("encoder.0.weight"), shapes.size("mean.weight"))
    fit(network, state)
    return network
