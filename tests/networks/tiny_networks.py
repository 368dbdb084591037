"""The networks that edgekit builds itself, each in a few small sizes. The first of each has trained weights in weights/, made by `train.py`, but for those
that ship trained."""

from __future__ import annotations

from typing import Any

SHIPPED = ("edsr", "edsr-mobile", "unet", "zero-dce")

TINY: dict[str, list[dict[str, Any]]] = {
    "edsr": [{"scale": 2, "blocks": 2, "channels": 8}, {"scale": 3, "blocks": 1, "channels": 6, "inner": (4,), "tail": (5,)}],
    "edsr-mobile": [{"scale": 3, "widths": (8, 4)}],
    "unet": [{"widths": (4, 6, 8)}],
    "zero-dce": [{"channels": 8, "steps": 3}],
    "edsr-bicubic": [{"scale": 2, "blocks": 2, "channels": 16}, {"scale": 4, "blocks": 1, "channels": 5}],
    "srresnet": [{"scale": 2, "blocks": 2, "channels": 16}, {"scale": 4, "blocks": 1, "channels": 6}],
    "rdn": [
        {"scale": 2, "blocks": 2, "channels": 16, "growth": 8, "layers": 3},
        {"scale": 3, "blocks": 1, "channels": 6, "growth": 4, "layers": 2},
        {"scale": 4, "blocks": 3, "channels": 5, "growth": 3, "layers": 1, "tail": (7, 4)},
    ],
    "rrdbnet": [
        {"scale": 4, "blocks": 2, "channels": 16, "growth": 4},
        {"scale": 2, "blocks": 1, "channels": 8, "growth": 4},
        {"scale": 1, "blocks": 1, "channels": 8, "growth": 3},
        {"scale": 2, "blocks": 1, "channels": 6, "growth": 4, "doublings": 1},
        {"scale": 1, "blocks": 1, "channels": 6, "growth": 4, "doublings": 0},
    ],
    "espcn": [{"scale": 3}, {"scale": 2, "widths": (5, 9)}],
    "srvgg": [
        {"scale": 2, "convolutions": 4, "channels": 16},
        {"scale": 4, "convolutions": 0, "channels": 7},
        {"scale": 1, "convolutions": 2, "channels": 4},
    ],
    "span": [{"scale": 2, "channels": 8}, {"scale": 4, "channels": 5, "shifted": False}],
    "ecbsr": [
        {"scale": 2, "blocks": 3, "channels": 12},
        {"scale": 3, "blocks": 1, "channels": 6, "colours": 3},
        {"scale": 4, "blocks": 0, "channels": 5, "expansion": 3},
    ],
    "dncnn": [
        {"convolutions": 6, "channels": 24},
        {"convolutions": 4, "channels": 6, "colours": 1},
        {"convolutions": 3, "channels": 5, "normalized": False},
    ],
    "nafnet": [
        {"width": 8, "middle": 1, "encoders": (1, 1), "decoders": (1, 1)},
        {"width": 6, "middle": 0, "encoders": (1, 2, 1), "decoders": (2, 1, 0)},
    ],
    "restormer": [
        {"channels": 4, "blocks": (1, 1, 1, 1), "refinement": 1, "heads": (1, 2, 2, 4)},
        {
            "channels": 12,
            "blocks": (1, 2, 1, 1),
            "refinement": 2,
            "heads": (1, 1, 2, 2),
            "expansion": 1.5,
            "colours": 1,
            "norm_biased": False,
            "biased": True,
        },
    ],
    "swinir": [
        {"scale": 2, "channels": 24, "layers": (2, 2), "heads": (3, 3), "hidden": 48, "tail": "direct"},
        {"scale": 4, "channels": 8, "layers": (1, 2), "heads": (1, 2), "window": 4, "hidden": 12, "tail": "shuffle", "inner": 6, "three": True},
        {"scale": 4, "channels": 8, "layers": (2,), "heads": (2,), "window": 4, "hidden": 16, "tail": "nearest", "inner": 6},
        {"scale": 1, "channels": 6, "layers": (2,), "heads": (3,), "window": 7, "hidden": 12, "tail": "none", "colours": 1},
    ],
    "cyclegan": [{"channels": 8, "blocks": 2}, {"channels": 4, "blocks": 1, "halvings": 1}],
    "style-transfer": [{"channels": 8, "blocks": 2}, {"channels": 5, "blocks": 1}],
    "unet-mobilenet": [
        {"classes": 1, "width": 0.25, "blocks": 7},
        {"classes": 3, "width": 0.5, "blocks": 12},
        {"classes": 2, "width": 0.125, "blocks": 4},
    ],
    "fusion": [{"channels": 16}, {"channels": 6, "colours": 1}],
    "inpainting": [{"channels": 7}, {"channels": 4, "dilations": ()}],
    "vae": [{"channels": 12, "latent": 24}, {"channels": 5, "latent": 3}],
    "gan-denoiser": [{"channels": 12}, {"channels": 6, "halvings": 1}],
    "diffusion": [{"channels": 12, "blocks": 1, "timed": 16}, {"channels": 6, "blocks": 2, "timed": 8}],
    "adjust": [{"widths": (8, 12, 16, 24)}],
}
