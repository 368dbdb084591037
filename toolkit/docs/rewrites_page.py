"""Writes toolkit/docs/rewrites.md: what each rewrite does to a small network in each backend that asks for it, with and without: `make rewrites-page`.

Every file is made and executed here. Results are kept in build/rewrites.json, so that an interrupted run goes on; `--fresh` starts anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rewrites_networks import CHANNELS, NETWORKS, SIDE, Network
from torch import nn

import edgekit_targets
from edgekit import rewrite
from edgekit.errors import CannotRunHere, EdgekitError

BACKENDS = ("executorch", "tflite", "coreml", "onnx")
CACHE = Path("build/rewrites.json")
PAGE = Path(__file__).with_name("rewrites.md")
ROUNDS = 150


@dataclass(frozen=True)
class Made:
    """`said`: one line about the graph, or why there is no file."""

    said: str
    session: Any | None


def lowered(backend: Any, net: nn.Module, names: tuple[str, ...], x: torch.Tensor, folder: Path) -> Made:
    try:
        file = folder / f"{len(names)}{backend.suffix}"
        graph = rewrite.apply(net, (x,), names).module
        result = backend.lower(graph, (x,), None, [(x,)], file)
    except EdgekitError as error:
        return Made(f"fails: {str(error).replace(f'{folder}/', '')[:160]}", None)
    except Exception as error:  # litert-torch raises many types
        return Made(f"fails: {str(error).splitlines()[0][:160] if str(error) else type(error).__name__}", None)
    from edgekit_targets.devices.host import Host

    with torch.no_grad():
        expected = net(x).clamp(0, 1)
    try:
        session = Host().session(file)
        (got,) = session((x,))
    except CannotRunHere as error:
        return Made(f"not run: {str(error).partition(': ')[2] or error}", None)
    worst = float((got - expected)[..., 4:-4, 4:-4].abs().max()) if min(got.shape[-2:]) > 8 else float((got - expected).abs().max())
    if worst > 2e-3:
        return Made(f"wrong by {worst:.2g}", None)
    return Made(described(backend.name, result, file), session)


def described(backend: str, result: Any, file: Path) -> str:
    if result.delegation is not None:
        d = result.delegation
        left = f"; left: {', '.join(sorted(n.removeprefix('aten.').partition('.')[0] for n in d.leftovers))}" if d.leftovers else ""
        return f"{d.delegated}/{d.total} in {d.partitions}{left}"
    if backend == "coreml":
        return f"{sum(result.facts['operators'].values())} operators"
    import onnx

    return f"{len(onnx.load(file).graph.node)} operators"


def measured(name: str, backend: Any, build: Network) -> dict[str, Any]:
    torch.manual_seed(0)
    net, x = build().eval().requires_grad_(False), torch.rand(1, 3, SIDE, SIDE)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        without = lowered(backend, net, tuple(n for n in backend.rewrites if n != name), x, Path(folder))
        with_it = lowered(backend, net, backend.rewrites, x, Path(folder))
        times = raced([made.session for made in (without, with_it)], x) if backend.name != "coreml" else [None, None]
    return {"without": without.said, "with": with_it.said, "ms": times}


def raced(sessions: list[Any | None], x: torch.Tensor) -> list[float | None]:
    """Best time of each, in milliseconds, over rounds in turn: what a shared machine disturbs least."""
    best: list[float | None] = [None] * len(sessions)
    for _ in range(ROUNDS):
        for i, session in enumerate(sessions):
            if session is not None:
                start = time.perf_counter()
                session((x,))
                ms = (time.perf_counter() - start) * 1000
                best[i] = min(ms, best[i] or ms)
    return best


def main(arguments: list[str]) -> None:
    done: dict[str, Any] = json.loads(CACHE.read_text()) if CACHE.exists() and "--fresh" not in arguments else {}
    chosen = [a for a in arguments if a in BACKENDS] or BACKENDS
    for backend in (edgekit_targets.backend(name) for name in chosen):
        for name, networks in NETWORKS.items():
            for label, build in networks.items():
                key = f"{name}/{label}/{backend.name}"
                if name in backend.rewrites and key not in done:
                    done[key] = measured(name, backend, build)
                    CACHE.parent.mkdir(exist_ok=True)
                    CACHE.write_text(json.dumps(done, indent=1))
                    print(key, done[key], flush=True)
    PAGE.write_text(page(done))


def page(done: dict[str, Any]) -> str:
    lines = [
        "# Rewrites",
        "",
        f"Written by `make rewrites-page`: a small network for each rewrite, {SIDE}x{SIDE} px, {CHANNELS} channels, float32, lowered by each backend that asks for",
        "the rewrite, with all its rewrites but this one and with all. ExecuTorch and TFLite: operators that XNNPACK executes / all operators, in how many",
        "partitions, and what is left outside; Core ML and ONNX: operators in the file. Times are the best of many runs in turn on this machine's processor, never",
        "a phone's; where both files are alike, their two times show what else the machine did: up to 1.6 x. Core ML files are executed by the evaluator, which",
        "says nothing about time. Every file was executed and compared with the network, four pixels and more from the border.",
        "`split_concatenation` is there for int8, where features of different sizes then have a scale each; in float32, as here, it saves only the copy.",
        "`separate_calls` is there for int8 too, where ExecuTorch cannot load a file in which a layer is called again.",
        "",
        "| rewrite | network | backend | without it | with it | ms without | ms with |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(done.items(), key=lambda item: (list(rewrite.REWRITES).index(item[0].split("/")[0]), item[0])):
        name, label, backend = key.split("/")
        times = ("-" if ms is None else f"{ms:.2f}" for ms in row["ms"])
        lines.append(f"| {name} | {label} | {backend} | {row['without']} | {row['with']} | {' | '.join(times)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
