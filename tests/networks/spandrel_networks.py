"""Every architecture that spandrel knows, small: what `make matrix` takes through the four backends. AuraSR is missing: it loads in its one size only, half a
gigabyte.

Random, seeded, and scaled so that the result is no flat picture: a network that adds hardly anything to its picture proves nothing. Those of TRAINED
have weights from `train_spandrel.py`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "spandrel_weights"

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    # spandrel's name: (class, arguments)
    "ATD": (
        "ATD.ATD",
        {
            "embed_dim": 24,
            "depths": (2,),
            "num_heads": (2,),
            "category_size": 64,
            "num_tokens": 16,
            "reducted_dim": 4,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "CRAFT": ("CRAFT.CRAFT", {"embed_dim": 24, "depths": [1, 1], "num_heads": [2, 2], "upscale": 2}),
    "Compact": ("Compact.Compact", {"num_feat": 16, "num_conv": 4, "upscale": 2}),
    "DAT": ("DAT.DAT", {"embed_dim": 24, "split_size": [8, 8], "depth": [2], "num_heads": [2], "expansion_factor": 2.0}),
    "DCTLSA": ("DCTLSA.DCTLSA", {"nf": 15, "upscale": 2, "num_head": 5}),
    "DITN": ("DITN.DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}),
    "DRCT": ("DRCT.DRCT", {"embed_dim": 24, "depths": (2,), "num_heads": (2,), "window_size": 8, "upscale": 2, "upsampler": "pixelshuffle", "gc": 8}),
    "DRUNet": ("DRUNet.DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [16, 24, 32, 48], "nb": 2}),
    "DnCNN": ("DnCNN.DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 16, "nb": 5}),
    "ESRGAN": ("ESRGAN.ESRGAN", {"num_filters": 16, "num_blocks": 2, "scale": 2}),
    "FBCNN": ("FBCNN.FBCNN", {"nc": [8, 12, 16, 512], "nb": 2}),
    "FDAT": ("FDAT.FDAT", {"scale": 2, "embed_dim": 24, "num_groups": 1, "depth_per_group": 2, "num_heads": 2, "mid_dim": 16}),
    "FFTformer": ("FFTformer.FFTformer", {"dim": 8, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1}),
    "GFPGAN": ("GFPGAN.GFPGAN", {}),
    "GRL": (
        "GRL.GRL",
        {"embed_dim": 24, "upscale": 2, "upsampler": "pixelshuffledirect", "depths": [2], "num_heads_window": [2], "num_heads_stripe": [2]},
    ),
    "HAT": ("HAT.HAT", {"embed_dim": 24, "depths": (2,), "num_heads": (2,), "window_size": 8, "upscale": 2, "squeeze_factor": 6}),
    "HVICIDNet": ("HVICIDNet.HVICIDNet", {"channels": [8, 8, 16, 32], "heads": [1, 2, 4, 8]}),
    "IPT": ("IPT.IPT", {"n_feats": 16, "num_heads": 4, "num_layers": 1}),
    "KBNet": ("KBNet.KBNet_s", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "LaMa": ("LaMa.LaMa", {"in_nc": 4}),
    "MMRealSR": (
        "MMRealSR.MMRealSR",
        {
            "num_in_ch": 3,
            "num_out_ch": 3,
            "scale": 4,
            "num_feat": 16,
            "num_block": 1,
            "num_grow_ch": 8,
            "num_feats": [8, 8, 16, 16],
            "num_blocks": [1, 1, 1, 1],
        },
    ),
    "MixDehazeNet": ("MixDehazeNet.MixDehazeNet", {"embed_dims": [8, 16, 24, 16, 8]}),
    "MoESR": ("MoESR.MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1}),
    "MoSR": ("MoSR.MoSR", {"upscale": 2, "n_block": 2, "dim": 16}),
    "NAFNet": ("NAFNet.NAFNet", {"width": 8, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "OmniSR": ("OmniSR.OmniSR", {"num_feat": 16, "up_scale": 2}),
    "PLKSR": ("PLKSR.PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "RCAN": ("RCAN.RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16}),
    "RGT": ("RGT.RGT", {"embed_dim": 24, "depth": [2], "num_heads": [2], "mlp_ratio": 2.0, "split_size": [8, 8]}),
    "RealCUGAN": ("RealCUGAN.UpCunet2x", {}),
    "RestoreFormer": ("RestoreFormer.RestoreFormer", {}),
    "RetinexFormer": ("RetinexFormer.RetinexFormer", {"n_feat": 8, "stage": 1, "num_blocks": [1, 1, 1]}),
    "SAFMN": ("SAFMN.SAFMN", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "SAFMNBCIE": ("SAFMNBCIE.SAFMNBCIE", {"dim": 16, "n_blocks": 1, "num_layers": 2}),
    "SCUNet": ("SCUNet.SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1], "dim": 64}),
    "SPAN": ("SPAN.SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
    "SeemoRe": ("SeemoRe.SeemoRe", {"scale": 2, "num_experts": 3, "num_layers": 1, "embedding_dim": 12}),
    "Swin2SR": ("Swin2SR.Swin2SR", {"embed_dim": 24, "depths": [2], "num_heads": [2], "window_size": 8, "upsampler": "pixelshuffledirect"}),
    "SwiftSRGAN": ("SwiftSRGAN.SwiftSRGAN", {"num_channels": 16, "num_blocks": 2, "upscale_factor": 2}),
    "SwinIR": (
        "SwinIR.SwinIR",
        {"embed_dim": 24, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 2, "upsampler": "pixelshuffledirect"},
    ),
    "Uformer": ("Uformer.Uformer", {"img_size": 128, "embed_dim": 8, "depths": [1] * 9, "num_heads": [1, 1, 2, 2, 4, 4, 2, 2, 1]}),
}


GAIN = {
    "Compact": 2.0,
    "DnCNN": 2.0,
    "ESRGAN": 1.6,
    "FDAT": 2.5,
    "LaMa": 1.4,
    "MMRealSR": 1.6,
    "RCAN": 1.2,
    "RetinexFormer": 1.1,
    "SPAN": 0.5,
    "SwiftSRGAN": 1.6,
    "Uformer": 1.3,
}
"""By which weights of these are multiplied, where the usual initial values add nothing to the picture, give a flat one, or explode."""

CODEBOOK = {"RestoreFormer": ("quantize.embedding.weight", 370.0)}
"""Entries to choose the nearest of, and by what they are multiplied: to where a trained codebook lies, among the encoder's values. The initial ones are so close
together that rounding in float32 decides which is nearest."""


TRAINED = ("HVICIDNet",)
"""With random weights HVI-CIDNet amplifies noise: 1 % of it behind PyTorch's own convolutions left 13 dB of what the network made, so that int8 proved nothing.
Trained for four minutes it keeps 27 dB."""


def built(name: str, seed: int = 0) -> nn.Module:
    """The small network with its own initial weights. Raises what its constructor raises."""
    place, arguments = SMALL[name]
    module, attribute = place.split(".")
    torch.manual_seed(seed)
    return getattr(import_module(f"spandrel.architectures.{module}"), attribute)(**arguments)


def state_of(name: str, seed: int = 0) -> dict[str, Tensor]:
    """The state dict of the small network. Raises what its constructor raises."""
    if name in TRAINED:
        return {key: value.float() if value.is_floating_point() else value for key, value in load_file(WEIGHTS / f"{name}.safetensors").items()}
    network = built(name, seed)
    gains = dict.fromkeys((key for key, value in network.state_dict().items() if value.ndim > 1 and value.is_floating_point()), GAIN.get(name, 1.0))
    gains |= dict([CODEBOOK[name]]) if name in CODEBOOK else {}
    return {key: (value * gains[key] if key in gains else value).detach().clone().contiguous() for key, value in network.state_dict().items()}
