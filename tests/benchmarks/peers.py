"""Our files beside the peers' runtimes: the same weights, the same tile, the same threads, in turn, in one run. Prints ratios.

    make bench                      every runtime, 7 rounds
    python tests/benchmarks/peers.py --rounds 3 --docs toolkit/docs/speed.md

Peers: PyTorch eager, ONNX Runtime (fp32, its own static int8), OpenVINO (fp32, int8 by NNCF), ncnn (fp32). Missing ones are named, not skipped silently;
`pip install -c constraints.txt -e ".[bench]"` brings them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from edgekit import models, preparation, recipe, rewrite
from edgekit.chatter import to_log
from edgekit.cli.sets import calibration_set, test_set
from edgekit.reference import cpu_name
from edgekit_targets import backend
from edgekit_targets.devices.host import Host, contiguous

Call = Callable[[], object]


def ours(folder: Path, log: Path, tile: Tensor, tiles: list[tuple[Tensor, ...]], name: str, wanted: list[tuple[str, str]]) -> dict[str, Call]:
    """edgekit's files, made by its backends from the rewritten network."""
    enhancer = models.load(name)
    given = contiguous(tile)
    calls: dict[str, Call] = {}
    for kind, precision in wanted:
        made = backend(kind)
        file = folder / f"{kind}-{precision}{made.suffix}"
        with to_log(log):
            graph = rewrite.apply(enhancer.module, (tile,), made.rewrites).module
            made.lower(graph, (tile,), recipe.load(precision).for_backend(kind), tiles if precision == "int8" else [], file)
            session = Host().session(file)
        calls[f"edgekit {kind} {precision}"] = lambda session=session: session((given,))
    return calls


def eager(tile: Tensor, name: str) -> dict[str, Call]:
    network = models.load(name).module
    last = models.load(name).module.to(memory_format=torch.channels_last)
    strided = tile.to(memory_format=torch.channels_last)

    def run(module: torch.nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            return module(x)

    return {"PyTorch eager fp32": lambda: run(network, tile), "PyTorch eager fp32 channels-last": lambda: run(last, strided)}


def onnx_file(folder: Path, log: Path, tile: Tensor, name: str) -> Path:
    """The network as its author has it: no rewrite of ours."""
    file = folder / "plain.onnx"
    with to_log(log):
        torch.onnx.export(models.load(name).module, (tile,), dynamo=True, verbose=False).save(str(file))
    return file


def onnxruntime_peer(folder: Path, log: Path, tile: Tensor, tiles: list[tuple[Tensor, ...]], plain: Path, threads: int) -> dict[str, Call]:
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    first = ort.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    key = first.get_inputs()[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(tiles)

        def get_next(self):
            found = next(self.left, None)
            return None if found is None else {key: found[0].numpy()}

    with to_log(log):
        quant_pre_process(str(plain), str(folder / "pre.onnx"), skip_symbolic_shape=True)
        quantize_static(
            str(folder / "pre.onnx"),
            str(folder / "int8.onnx"),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    second = ort.InferenceSession(str(folder / "int8.onnx"), options, providers=["CPUExecutionProvider"])
    array = tile.numpy()
    return {"ONNX Runtime fp32": lambda: first.run(None, {key: array}), "ONNX Runtime int8": lambda: second.run(None, {key: array})}


def openvino_peer(log: Path, tile: Tensor, tiles: list[tuple[Tensor, ...]], plain: Path, threads: int) -> dict[str, Call]:
    with to_log(log):
        import nncf
        import openvino as ov

        core = ov.Core()
        model = core.read_model(str(plain))
        model.reshape(list(tile.shape))
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        float_model = core.compile_model(model, "CPU", settings)
        quantized = nncf.quantize(
            model, nncf.Dataset([t[0].numpy() for t in tiles]), preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(tiles)
        )
        int8_model = core.compile_model(quantized, "CPU", settings)
    first, second, array = float_model.create_infer_request(), int8_model.create_infer_request(), tile.numpy()
    return {"OpenVINO fp32": lambda: first.infer([array]), "OpenVINO int8 (NNCF)": lambda: second.infer([array])}


def ncnn_peer(folder: Path, log: Path, tile: Tensor, name: str, threads: int) -> dict[str, Call]:
    with to_log(log):
        import ncnn
        import pnnx

        module = models.load(name).module
        here = Path.cwd()
        os.chdir(folder)
        try:
            pnnx.export(module, str(folder / "peer.pt"), (tile,))
        finally:
            os.chdir(here)
        net = ncnn.Net()
        net.opt.num_threads, net.opt.use_fp16_storage, net.opt.use_fp16_arithmetic, net.opt.use_bf16_storage = threads, False, False, False
        net.load_param(str(folder / "peer.ncnn.param"))
        net.load_model(str(folder / "peer.ncnn.bin"))
    array = tile[0].numpy().copy()

    def run() -> object:
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(array))
            return extractor.extract("out0")

    return {"ncnn fp32": run}


def main() -> int:
    parser = argparse.ArgumentParser(description="edgekit's files beside the peers' runtimes, in one run")
    parser.add_argument("--model", default="edsr")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--docs", type=Path, help="also write the page")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    enhancer = models.load(asked.model)
    size = (asked.tile, asked.tile)
    tiles = preparation.calibration_tiles(calibration_set("photos"), enhancer, size, 12, 24)
    tile = preparation.calibration_tiles(test_set(), enhancer, size, 12, 1)[0][0]
    missing: dict[str, str] = {}
    calls: dict[str, Call] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, log = Path(scratch), Path(scratch) / "log"
        log.touch()
        wanted = [(kind, precision) for kind in ("executorch", "tflite", "onnx") for precision in ("fp32", "int8")]
        calls |= ours(folder, log, tile, tiles, asked.model, wanted)
        calls |= eager(tile, asked.model)
        plain = onnx_file(folder, log, tile, asked.model)
        for peer, make in {
            "ONNX Runtime": lambda: onnxruntime_peer(folder, log, tile, tiles, plain, asked.threads),
            "OpenVINO": lambda: openvino_peer(log, tile, tiles, plain, asked.threads),
            "ncnn": lambda: ncnn_peer(folder, log, tile, asked.model, asked.threads),
        }.items():
            try:
                calls |= make()
            except ImportError as error:
                missing[peer] = f"not installed ({error})"
        times: dict[str, list[float]] = {name: [] for name in calls}
        with to_log(log):
            for call in calls.values():
                call()
            for _ in range(asked.rounds):
                for name, call in calls.items():
                    call()
                    taken = []
                    for _ in range(asked.runs):
                        start = time.perf_counter()
                        call()
                        taken.append((time.perf_counter() - start) * 1e3)
                    times[name].append(statistics.median(taken))
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    least = {name: min(taken) for name, taken in times.items()}
    size, rounds = f"{asked.tile}x{asked.tile} px, {asked.threads} threads", f"{asked.rounds} rounds of {asked.runs} runs in turn"
    said = f"{asked.model}, {size}, {rounds}, {cpu_name()}, {datetime.now(UTC).date()}"
    report = table(said, medians, least, missing)
    print(report)
    if asked.docs:
        asked.docs.write_text(PAGE + report + "\n", "utf-8")
    return 0


PAGE = """# Speed beside other runtimes

Written by `make bench ARGS="--docs toolkit/docs/speed.md"`. Every file runs in turn in one process on one machine, so the ratios hold although the machine is
shared. The peers run the network as its author has it; edgekit's files come out of its own rewrites (collapsed tail, folded mean shift, clamp inside). The
numbers are of this machine's processor, never a phone's.

"""


def table(said: str, medians: dict[str, float], least: dict[str, float], missing: dict[str, str]) -> str:
    """Markdown: fastest first, with the ratios the project holds itself to."""
    lines = [said + ".", "", "| runtime | median ms | best ms | x edgekit tflite int8 |", "|---|---|---|---|"]
    base = medians["edgekit tflite int8"]
    lines += [
        f"| {name} | {medians[name]:.1f} | {least[name]:.1f} | {medians[name] / base:.2f} |" for name in sorted(medians, key=medians.__getitem__)
    ]
    lines += [f"| {peer} | NOT MEASURED | {reason} | |" for peer, reason in missing.items()]
    lines.append("")
    for kind in ("executorch", "tflite", "onnx"):
        lines.append(f"- {kind}: int8 is {medians[f'edgekit {kind} fp32'] / medians[f'edgekit {kind} int8']:.2f} x faster than fp32")
    lines.append(f"- executorch int8 takes {medians['edgekit executorch int8'] / base:.2f} x the time of tflite int8 (goal: at most 1.10)")
    for peer in ("OpenVINO int8 (NNCF)", "ONNX Runtime int8"):
        if peer in medians:
            ours = ", ".join(f"{kind} {medians[peer] / medians[f'edgekit {kind} int8']:.2f} x" for kind in ("executorch", "tflite"))
            lines.append(f"- {peer} takes, against our int8 files: {ours}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
