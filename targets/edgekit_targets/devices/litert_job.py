# ruff: noqa: TID253
"""Runs a .tflite file on raw tiles. The ARM64 Python executes this file itself under qemu, with LiteRT's aarch64 wheel; it has neither torch nor edgekit.

litert_job.py MODEL FOLDER TILES THREADS      reads and writes the folder that `jobs.py` describes. Exit status: 2 a tile does not fit, 4 cannot load, 5 run.
"""

import json
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def fail(status: int, line: str) -> NoReturn:
    sys.stderr.write(f"\n{line}\n")
    sys.exit(status)


def main(model: str, folder: Path, tiles: int, threads: int) -> None:
    try:
        interpreter = Interpreter(model_path=model, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        fail(4, f"{model}: LiteRT cannot load it ({error})")
    results = interpreter.get_output_details()
    for tile in range(tiles):
        for index, detail in enumerate(interpreter.get_input_details()):
            path = folder / "in" / f"{tile}-{index}.bin"
            try:
                interpreter.set_tensor(detail["index"], np.fromfile(path, detail["dtype"]).reshape(detail["shape"]))
            except (OSError, ValueError) as error:
                fail(2, f"{path}: does not fit the file's input {index} ({error})")
        try:
            interpreter.invoke()
        except RuntimeError as error:
            fail(5, f"{model}: is loaded but cannot be run ({error})")
        for index, detail in enumerate(results):
            interpreter.get_tensor(detail["index"]).tofile(folder / "out" / f"{tile}-{index}.bin")
    outputs = [{"dtype": np.dtype(d["dtype"]).name, "shape": d["shape"].tolist()} for d in results]
    report = {"outputs": outputs, "times_ms": [], "threads": threads, "peak_memory_kb": None, "features": []}
    (folder / "out" / "report.json").write_text(json.dumps(report), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
