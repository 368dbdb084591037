"""Who may import what. A wall that no test holds is a drawing."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLCHAINS = {
    "executorch", "torchao", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "tensorflow", "onnx", "onnxruntime", "onnxscript", "openvino",
}  # fmt: skip
TYPES = {"errors", "toml", "enhancer", "recipe", "target", "backend", "device", "tile_size"}
LOW = {"models", "rewrite", "quantize", "palette", "metrics", "tiles", "losses"}
BUILT_ON = {"models": {"tiles"}}
"""A network that nobody has described is probed for its receptive radius."""
ON_THE_PIPELINE = {"cli", "validation", "auto"}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, those under `if TYPE_CHECKING` left out."""
    tree = ast.parse(path.read_text("utf-8"))
    found = set()
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def modules(path: Path, known: Iterable[str]) -> set[str]:
    """Those of `known` that a file imports, for types only or within functions too. A package is meant where what is taken from it is no module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return found & set(known)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def circle(imported: dict[str, set[str]]) -> list[str]:
    """Modules that import each other, in the order in which they do, the first again at the end; none: empty. `imported`: module -> what it imports."""
    done: set[str] = set()

    def search(trail: list[str]) -> list[str]:
        for name in sorted(imported.get(trail[-1], set()) & imported.keys()):
            if name in trail:
                return [*trail[trail.index(name) :], name]
            if name not in done and (found := search([*trail, name])):
                return found
        done.add(trail[-1])
        return []

    return next((found for name in sorted(imported) if name not in done and (found := search([name]))), [])


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def edgekit_parts(names: set[str]) -> set[str]:
    return {n.split(".")[1] for n in names if n.startswith("edgekit.") and n.count(".") >= 1}


@pytest.mark.parametrize("path", sources("toolkit/edgekit"), ids=lambda p: str(p.relative_to(ROOT)))
def test_toolkit(path):
    part = path.relative_to(ROOT / "toolkit/edgekit").parts[0].removesuffix(".py")
    names = imports(path)
    top = {n.split(".")[0] for n in names}
    assert not top & TOOLCHAINS, "the toolkit knows no runtime"
    if part != "cli":
        assert not top & {"edgekit_targets", "edgekit_calibration"}, "objects are handed in by the command line"
    used = edgekit_parts(names) - {part}
    if part in ("errors", "toml"):
        assert used <= {"errors"} and "torch" not in top
    elif part in TYPES:
        assert used <= TYPES and "torch" not in top
    elif part in LOW:
        assert used <= TYPES | (LOW & {part}) | BUILT_ON.get(part, set())
    else:
        assert part in ("cli", "__main__") or "cli" not in used
        assert part in ON_THE_PIPELINE or "pipeline" not in used


@pytest.mark.parametrize("path", sources("targets/edgekit_targets"), ids=lambda p: str(p.relative_to(ROOT)))
def test_targets(path):
    parts = path.relative_to(ROOT / "targets/edgekit_targets").parts
    names = imports(path)
    used = edgekit_parts(names)
    assert used <= TYPES | {"quantize", "palette"}, "a backend knows edgekit's types and range estimators, nothing else of it"
    backends = {p.name for p in (ROOT / "targets/edgekit_targets").iterdir() if p.is_dir()} - {"devices", "__pycache__"}
    others = {n.split(".")[1] for n in names if n.startswith("edgekit_targets.") and n.split(".")[1] in backends} - {parts[0]}
    assert not others, "backends do not know each other"


@pytest.mark.parametrize("path", sources("calibration/edgekit_calibration"), ids=lambda p: str(p.relative_to(ROOT)))
def test_calibration(path):
    names = imports(path)
    assert edgekit_parts(names) <= {"errors", "toml"}
    assert not {n.split(".")[0] for n in names} & (TOOLCHAINS | {"edgekit_targets"})


def test_no_modules_import_each_other():
    roots = {"toolkit": "edgekit", "targets": "edgekit_targets", "calibration": "edgekit_calibration"}
    files = {module_name(path, ROOT / root): path for root, package in roots.items() for path in sources(f"{root}/{package}")}
    imported = {name: modules(path, files) - {name} for name, path in files.items()}
    assert sum(map(len, imported.values())) > 500
    assert circle(imported) == []


def test_circles_are_found(tmp_path):
    assert circle({"a": {"b", "torch"}, "b": {"c"}, "c": set(), "d": {"e"}, "e": {"f"}, "f": {"e", "a"}}) == ["e", "f", "e"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    file = tmp_path / "one.py"
    file.write_text("import p.a\nif TYPE_CHECKING:\n    from p.b import Type\ndef f():\n    from p import c, name\n    from q import r\n")
    assert modules(file, ["p", "p.a", "p.b", "p.c", "q.r"]) == {"p", "p.a", "p.b", "p.c", "q.r"}


def test_importing_the_command_line_loads_no_torch_and_no_toolchain():
    code = "import sys, edgekit.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & (TOOLCHAINS | {"torch", "numpy", "PIL"})


def test_top_level_folders_are_the_fixed_ones():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    folders = {name.split("/")[0] for name in listed if "/" in name}
    assert folders <= {".ci", "toolkit", "targets", "calibration", "tests", "android-demo", "ios-demo"}


def test_tracked_files_stay_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    assert sum((ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file()) < 40 * 2**20
