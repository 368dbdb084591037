"""A small, complete bundle to read, alter and replace: two model files (one of them a folder) and a golden pair."""

from __future__ import annotations

from pathlib import Path

import torch

from edgekit import bundle, manifest
from edgekit.backend import Delegation, TensorSpec
from edgekit.enhancer import ImageSpec
from edgekit.recipe import Quantize

TIME = "2026-11-21T10:30:00+00:00"


def sample(folder: Path, *, seed: int = 0, bytes_per_file: int = 1000) -> tuple[manifest.Manifest, dict[str, Path]]:
    """Writes the parts into the empty `folder`; the two results are what `bundle.write` takes. Another seed gives other bytes everywhere."""
    generator = torch.Generator().manual_seed(seed)

    def noise(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(torch.randint(0, 256, (bytes_per_file,), dtype=torch.uint8, generator=generator).numpy().tobytes())
        return path

    files = {"net-int8.tflite": noise(folder / "net-int8.tflite"), "net-fp16.mlpackage": folder / "net-fp16.mlpackage"}
    noise(folder / "net-fp16.mlpackage" / "Data" / "weights" / "weight.bin")
    noise(folder / "net-fp16.mlpackage" / "Manifest.json")
    golden = folder / "golden"
    golden.mkdir()
    tile, enhanced = torch.rand(1, 3, 8, 16, generator=generator), torch.rand(1, 3, 16, 32, generator=generator)
    given = bundle.golden_tensor(golden, "input", "image", tile, "NCHW")
    reference = bundle.golden_tensor(golden, "output-reference", "enhanced", enhanced, "NCHW")
    own = bundle.golden_tensor(golden, "output-net-int8", "enhanced", (enhanced * 255).to(torch.uint8), "NHWC")
    files |= {tensor.file: golden / Path(tensor.file).name for tensor in (given, reference, own)}
    int8 = manifest.Artifact(
        name="net-int8",
        file="net-int8.tflite",
        backend="tflite",
        delegate="xnnpack",
        recipe="int8",
        precision="int8",
        bytes=bundle.size_of(files["net-int8.tflite"]),
        sha256=bundle.sha256_of(files["net-int8.tflite"]),
        inputs=(TensorSpec("image", (1, 8, 16, 3), "NHWC", "uint8", (0, 255)),),
        outputs=(TensorSpec("enhanced", (1, 16, 32, 3), "NHWC", "uint8", (0, 255)),),
        delegation=Delegation("xnnpack", 40, 41, 1, {"PAD": "no kernel"}),
        parity=manifest.Parity(
            executed_by="host",
            reference=manifest.ParityReference("CPU", "float32"),
            pictures=24,
            tiles=96,
            psnr_db=47.5,
            worst_psnr_db=44.0,
            worst_tile="rocket:3",
            ssim=0.99,
            max_abs=0.02,
            colour_shift=0.001,
            finite=True,
            runs_equal=True,
            psnr_gt_db=31.0,
            delta_psnr_db=0.05,
            worst_delta_psnr_db=0.2,
            smooth_psnr_db=46.0,
            banding=0.0,
            channel_shift=(0.0005, -0.001, 0.0),
            ciede2000_mean=0.6,
        ),
        latency=manifest.ArtifactLatency(28.3, 30.0, 20, 2, "CPU", 120.5, 0.25),
        budget=(manifest.BudgetLine("psnr_db", 47.5, 45.0, "ok"), manifest.BudgetLine("banding", None, 0.1, "not measured")),
        quantize=Quantize("int8", float_layers=("head*",)),
        quantized=("body.0",),
        kept_float=("head.0",),
        facts={"rewrites": {"clamp": 1}, "note": "Zürich 漢"},
    )
    fp16 = manifest.Artifact(
        name="net-fp16",
        file="net-fp16.mlpackage",
        backend="coreml",
        delegate="",
        recipe="fp16",
        precision="fp16",
        bytes=bundle.size_of(files["net-fp16.mlpackage"]),
        sha256=bundle.sha256_of(files["net-fp16.mlpackage"]),
        inputs=(TensorSpec("image", (1, 3, 8, 16), "NCHW", "float32", (0, 1)),),
        outputs=(TensorSpec("enhanced", (1, 3, 16, 32), "NCHW", "float32", (0, 1)),),
        delegation=None,
        parity=None,
        latency=None,
        why_not={"parity": ".mlpackage runs on macOS only; not measured", "latency": "not run"},
    )
    described = manifest.Manifest(
        target="test",
        edgekit=f"0.1.{seed}",
        created=TIME,
        toolchain={"torch": "2.13.0", "litert-torch": "0.10.0"},
        model=manifest.Model("net", "random", "Apache-2.0", "0" * 64, 2, 1369859, 1.37e6, 75),
        image=manifest.Image((ImageSpec("image"),), (ImageSpec("enhanced"),), 2, "exact", (8, 16), 37, 2, overhead=1.4),
        artifacts=(int8, fp16),
        calibration=manifest.Calibration("photos", "1" * 64, 64),
        reference=manifest.Reference("CPU", "float32", TIME, {"tf32": False}),
        golden=manifest.Golden((given,), (reference,), (manifest.GoldenOutput("net-int8", (own,), 0.03, 45.0),)),
    )
    return described, files
