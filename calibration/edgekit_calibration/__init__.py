"""Representative photographs: the built-in calibration set, the test set for parity, and any folder of a user's own."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import InvalidFile, UnknownName
from edgekit_calibration.folder import load_folder
from edgekit_calibration.picture import CalibrationSet, Picture
from edgekit_calibration.setfile import SET_FILE, load_set

__all__ = ["CalibrationSet", "Picture", "load", "names", "test_set"]

_HERE = Path(__file__).parent
_SETS = ("photos",)  # a folder here for each
_TEST_SET = "testset"  # not among the names: parity pictures are never calibration pictures


def names() -> tuple[str, ...]:
    """The built-in calibration sets."""
    return _SETS


def load(name_or_path: str | Path) -> CalibrationSet:
    """A built-in set by name, a folder that holds a set.toml, or a plain folder of photographs.

    A set's files are checked against its set.toml. In a plain folder every picture that can be read is used, at its own size, and the others
    are named in `unreadable`; `build.build` makes a set of it, which is what large photographs need. Raises UnknownName, InvalidFile.
    """
    text = str(name_or_path)
    if text in _SETS:
        return load_set(_HERE / text)
    folder = Path(name_or_path)
    if text and folder.is_dir():
        return load_set(folder) if (folder / SET_FILE).exists() else load_folder(folder)
    if isinstance(name_or_path, str) and text and Path(text).name == text and not folder.exists():
        raise UnknownName("calibration set", text, _SETS)
    raise InvalidFile(f"'{text}': no such folder; expected one of {', '.join(_SETS)}, or a folder with a set or with photographs")


def test_set() -> CalibrationSet:
    """The parity pictures, clean: the ground truth of what `Enhancer.degrade` makes of them."""
    return load_set(_HERE / _TEST_SET)
