"""`edgekit prune`, and `edgekit export --recipe auto`, as a user meets them."""

import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from edgekit import models, recipe
from edgekit.cli import main
from edgekit.models.edsr import EDSR
from edgekit.pruning_run import PruneCard
from edgekit.recipe import Quantize

RECIPE = '[prune]\nratio = 0.3\nmultiple = 4\nimportance = "l1"\n'


def run(capfd, *arguments: object) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a command run in this process."""
    code = main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def fresh_terminal(monkeypatch):
    """The console keeps a duplicate of stderr; each test has its own stderr."""
    import edgekit.cli.console as console

    monkeypatch.setattr(console, "_terminal", None)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A tiny checkpoint, a recipe, photographs; and only three test pictures, which the command reads in any case."""
    from PIL import Image

    import edgekit.cli.sets as sets
    import edgekit_calibration
    from edgekit.preparation import PictureSet

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(EDSR(2, blocks=2, channels=12).state_dict(), tmp_path / "tiny.safetensors")
    (tmp_path / "third.toml").write_text(RECIPE)
    (tmp_path / "photos").mkdir()
    for index in range(2):
        noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(index))
        smooth = torch.nn.functional.interpolate(noise, size=(192, 192), mode="bicubic")[0].clamp(0, 1)
        Image.fromarray((smooth * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / "photos" / f"{index}.png")
    found = edgekit_calibration.test_set()
    few = PictureSet(found.name, found.sha256, [(p.name, p.tensor()) for p in found.pictures[:3]])
    monkeypatch.setattr(sets, "test_set", lambda: few)
    return tmp_path


COMMAND = ("prune", "--model", "tiny.safetensors", "--recipe", "third.toml", "--calibration", "photos", "--out", "small.safetensors")


def test_a_smaller_checkpoint_and_a_card(capfd, folder):
    code, out, err = run(capfd, *COMMAND, "--recover", "photos", "--steps", 2, "--json")
    assert code == 0, err
    card, whole, small = json.loads(out), models.load("tiny.safetensors"), models.load("small.safetensors")
    assert card == json.loads(Path("small.json").read_text())
    with safe_open("small.safetensors", "pt") as file:
        assert json.loads(file.metadata()["card"]) == card
    assert set(card) == set(PruneCard.__dataclass_fields__)

    before, after = (sum(p.numel() for p in enhancer.module.parameters()) for enhancer in (whole, small))
    assert card["parameters"] == [before, after] and 0.5 < card["macs"][1] / card["macs"][0] <= 0.7
    for name, (old, new) in card["widths"].items():
        assert whole.module.get_submodule(name).out_channels == old and small.module.get_submodule(name).out_channels == new < old
    assert card["source_sha256"] == whole.sha256 and card["prune"] == json.loads(json.dumps(asdict(recipe.load("third.toml").prune)))
    recovery = card["recovery"]
    assert recovery["steps"] == 2 and recovery["loss"] > 0 and not recovery["int8"] and "photos" in recovery["data"]
    assert card["pictures"] == 3 and card["drop_db"] <= card["worst_drop_db"] and card["drop_db"] != card["one_shot_drop_db"]
    assert "convolutions narrowed" in err and "recovered" in err and "3 test pictures" in err


def test_the_drop_is_what_the_picture_lost(capfd, folder):
    """Without recovery, by hand: PSNR against the photograph, the original's minus the pruned network's."""
    from edgekit import metrics
    from edgekit.cli import sets

    code, out, err = run(capfd, *COMMAND, "--json")
    assert code == 0, err
    card = json.loads(out)
    networks, lost = (models.load("tiny.safetensors"), models.load("small.safetensors")), []
    for _, clean in sets.test_set().pictures:
        clean = clean[..., : clean.shape[-2] // 2 * 2, : clean.shape[-1] // 2 * 2].contiguous()
        with torch.no_grad():
            whole, small = (metrics.psnr_uint8_db(clean, n.module(*n.degrade(clean))) for n in networks)
        lost.append(whole - small)
    assert card["recovery"] is None and card["one_shot_drop_db"] == card["drop_db"] == pytest.approx(sum(lost) / 3)
    assert card["worst_drop_db"] == pytest.approx(max(lost)) and abs(card["drop_db"]) > 1e-4


def test_force_replaces_and_does_not_take_another_prunings_recovery(capfd, folder):
    """Pruned to the same widths, other weights would fit into the first one's resume file."""
    (folder / "one.toml").write_text('[prune]\nratio = 0.05\nmultiple = 4\nlayers = ["body.0.body.0"]\n')
    recovering = (*COMMAND, "--recipe", "one.toml", "--recover", "photos", "--steps", 2, "--json")
    assert run(capfd, *recovering)[0] == 0
    first = models.load("small.safetensors").module.state_dict()
    code, out, err = run(capfd, *COMMAND)
    assert code == 2 and "small.safetensors: exists; expected a free name, or --force" in err and out == ""

    code, out, err = run(capfd, *recovering, "--force")
    assert code == 0, err
    recovery = json.loads(out, parse_constant=pytest.fail)["recovery"]
    assert recovery["steps"] == 2 and recovery["loss"] is None, "all steps were in the resume file"
    assert all(torch.equal(first[key], value) for key, value in models.load("small.safetensors").module.state_dict().items())

    torch.manual_seed(1)
    save_file(EDSR(2, blocks=2, channels=12).state_dict(), "tiny.safetensors")
    code, out, err = run(capfd, *recovering, "--force")
    assert code == 0, err
    second = models.load("small.safetensors").module.state_dict()
    whole = models.load("tiny.safetensors").module
    assert {key: value.shape for key, value in first.items()} == {key: value.shape for key, value in second.items()}
    assert (second["tail.1.bias"] - whole.tail[1].bias).abs().max() < 2e-3, "two steps from the network that was pruned now"


def test_int8_recovery_is_another_one(capfd, folder):
    plain = (*COMMAND, "--recover", "photos", "--steps", 2, "--json")
    assert run(capfd, *plain)[0] == 0
    code, out, err = run(capfd, *plain, "--int8", "--out", "rounded.safetensors")
    assert code == 0, err
    assert json.loads(out)["recovery"]["int8"] is True
    one, other = (models.load(name).module.state_dict() for name in ("small.safetensors", "rounded.safetensors"))
    assert one.keys() == other.keys() and not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (("--recipe", "int8"), "recipe 'int8' has no [prune] table; expected one, such as in recipe 'pruned'"),
        (("--out", "small.pth"), "--out is 'small.pth'; expected a name that ends in .safetensors"),
        (("--recipe", "prund"), "no recipe named 'prund'"),
        (("--recipe", "none.toml"), "none.toml: cannot be read"),
        (("--model", "none.safetensors"), "none.safetensors"),
        (("--target", "andriod"), "no target named 'andriod'"),
        (("--device", "tpu"), "--device is 'tpu'; expected cpu or cuda"),
        (("--recipe", "most.toml"), "of the macs can be removed, got ratio 0.98"),
        (("--calibration", "none"), "none"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(changes, line, capfd, folder):
    (folder / "most.toml").write_text(RECIPE.replace("0.3", "0.98"))
    code, out, err = run(capfd, *COMMAND, *changes)
    assert code == 2 and out == "" and line in err and "Traceback" not in err
    assert len([text for text in err.splitlines() if text.startswith("error")]) == 1
    assert not {path.name for path in folder.iterdir()} - {"tiny.safetensors", "third.toml", "most.toml", "photos"}


def test_the_timer_times_the_int8_file(capfd, folder):
    """Four times the channels take longer; a target without an int8 file has nothing to time."""
    import edgekit_targets
    from edgekit.cli.sets import calibration_set
    from edgekit.cli.timing import int8_latency

    target = folder / "desk.toml"
    target.write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n[[artifact]]\nbackend = "onnx"\nrecipe = "int8"\n')
    enhancer = models.load("tiny.safetensors")
    clock = int8_latency(enhancer, edgekit_targets.load(str(target)), calibration_set("photos"))
    assert 0 < clock(enhancer.module) < clock(EDSR(2, blocks=2, channels=48).eval())
    target.write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n')
    (folder / "slow.toml").write_text('[prune]\nratio = 0.2\ncost = "latency"\n')
    code, _, err = run(capfd, *COMMAND, "--recipe", "slow.toml", "--target", "desk.toml")
    assert code == 2 and "cost 'latency' needs a target with an int8 file, got 'desk'; expected android or desktop" in err
    code, _, err = run(capfd, "export", "--model", "tiny.safetensors", "--target", "desk.toml", "--recipe", "slow.toml", "--calibration", "photos")
    assert code == 2 and "recipe 'slow' prunes by latency; expected `edgekit prune --recipe slow` first, then export its checkpoint" in err


def test_a_prune_recipe_exports_a_pruned_file(capfd, folder):
    (folder / "desk.toml").write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n')
    sizes = {}
    for name, options in (("whole", ()), ("small", ("--recipe", "third.toml"))):
        command = ("export", "--model", "tiny.safetensors", "--target", "desk.toml", "--calibration", "photos", "--out", name, "--json")
        code, out, err = run(capfd, *command, *options)
        assert code == 0, err
        artifact = json.loads(out)["manifest"]["artifacts"][0]
        sizes[name] = artifact["bytes"], artifact["parity"]["psnr_db"]
    assert "pruned without recovery: " in err and "`edgekit prune --recover` wins the quality back" in err
    assert sizes["small"][0] < 0.85 * sizes["whole"][0]
    assert sizes["small"][1] < 60 < sizes["whole"][1], "parity is against the network that was not pruned"


def test_auto_finds_a_recipe_and_leaves_it_in_the_bundle(capfd, folder, monkeypatch):
    monkeypatch.setattr("edgekit.auto.ESTIMATORS", ("mse",))  # of four: time
    (folder / "desk.toml").write_text('tile = [64, 64]\n[[artifact]]\nbackend = "onnx"\nrecipe = "fp32"\n[budgets.restore]\npsnr_db = 30.0\n')
    command = (
        "export",
        "--model",
        "tiny.safetensors",
        "--target",
        "desk.toml",
        "--calibration",
        "photos",
        "--recipe",
        "auto",
        "--out",
        "b",
        "--json",
    )
    code, out, err = run(capfd, *command)
    assert code == 0, err
    artifact = json.loads(out)["manifest"]["artifacts"][0]
    found = recipe.load("b/auto.toml").for_backend("onnx")
    assert found == Quantize("int8", "mse")
    assert artifact["recipe"] == "auto" and artifact["precision"] == "int8" and artifact["quantize"]["estimator"] == "mse"
    root = ElementTree.parse("b/sensitivity-onnx.svg").getroot()
    assert {"head.0", "body.0.body.0", "body.2"} <= {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}

    code, out, err = run(capfd, *command, "--out", "again", "--recipe", "b/auto.toml")
    assert code == 0, err
    again = json.loads(out)["manifest"]["artifacts"][0]
    assert again["sha256"] == artifact["sha256"], "the recipe makes the same file"
