"""Fetching the originals, with real pip and dpkg-deb but packages made here: no network."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, InvalidFile
from edgekit_calibration.fetch import fetch
from edgekit_calibration.sources import Package, Photograph, Sources, read_sources

PIXELS = b"as good as a photograph"
SHA256 = hashlib.sha256(PIXELS).hexdigest()


def photograph(package, path, sha256=SHA256):
    return Photograph(f"{package}-photo", package, path, "somebody", "CC0-1.0", "test", ("day",), sha256)


def sources(kind, path="pictures/a.jpg", sha256=SHA256):
    return Sources((Package("gallery", kind, "1.0"),), (photograph("gallery", path, sha256),))


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """A package index of one wheel."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "gallery-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pictures/a.jpg", PIXELS)
        wheel.writestr("pictures/b.jpg", b"another")
        wheel.writestr("gallery-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: gallery\nVersion: 1.0\n")
        wheel.writestr("gallery-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("gallery-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """apt-get that copies a real package made here; everything after it is the real thing."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is Debian's")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: gallery\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: x\n"
    )
    (tree / "pictures").mkdir()
    (tree / "pictures" / "a.jpg").write_bytes(PIXELS)
    tree.chmod(0o755)
    (tree / "DEBIAN").chmod(0o755)
    package = tmp_path / "gallery_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "apt-get").write_text(f'#!/bin/sh\n[ "$1" = download ] && [ "$2" = gallery ] && cp "{package}" .\n')
    (commands / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    return commands


def test_a_wheel(tmp_path, pypi):
    found = fetch(tmp_path / "originals", sources=sources("pypi"))
    assert found == {"gallery-photo": tmp_path / "originals" / "gallery" / "pictures" / "a.jpg"}
    assert found["gallery-photo"].read_bytes() == PIXELS
    assert [path.name for path in (tmp_path / "originals").iterdir()] == ["gallery"], "no downloads are left behind"


def test_a_debian_package(tmp_path, debian):
    said = []
    found = fetch(tmp_path / "originals", sources=sources("debian"), progress=lambda *step: said.append(step))
    assert found["gallery-photo"].read_bytes() == PIXELS
    assert said == [(0, 1, "gallery")]


def test_what_is_there_is_not_fetched_again_unless_altered(tmp_path, pypi):
    path = fetch(tmp_path / "originals", sources=sources("pypi"))["gallery-photo"]
    wheel = next(pypi.iterdir()).rename(tmp_path / "hidden")
    assert fetch(tmp_path / "originals", sources=sources("pypi"))["gallery-photo"] == path
    path.write_bytes(b"altered")
    with pytest.raises(EdgekitError, match=r"pip .*failed with status 1"):
        fetch(tmp_path / "originals", sources=sources("pypi"))
    wheel.rename(pypi / "gallery-1.0-py3-none-any.whl")
    assert fetch(tmp_path / "originals", sources=sources("pypi"))["gallery-photo"].read_bytes() == PIXELS


def test_a_package_that_has_changed(tmp_path, pypi):
    with pytest.raises(InvalidFile, match=r"pictures/b.jpg of package gallery: sha256 is .*, expected"):
        fetch(tmp_path / "originals", sources=sources("pypi", "pictures/b.jpg"))
    with pytest.raises(InvalidFile, match=r"package gallery holds no pictures/c.jpg"):
        fetch(tmp_path / "originals", sources=sources("pypi", "pictures/c.jpg"))


def test_a_failing_download(tmp_path, debian):
    (debian / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package gallery' >&2\nexit 100\n")
    with pytest.raises(
        EdgekitError, match=r"apt-get download gallery .*status 100: E: Unable to locate package gallery; run .apt-get update"
    ) as caught:
        fetch(tmp_path / "originals", sources=sources("debian"))
    assert "\n" not in str(caught.value)


def test_no_debian_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgekitError, match="apt-get is not here; fetching the photographs needs a Debian system"):
        fetch(tmp_path / "originals", sources=sources("debian"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (('role = "test"', 'role = "train"'), "expected one of calibration, test"),
        (('"day"', '"dya"'), "expected one of"),
        (('package = "mate-backgrounds"', 'package = "mate"'), "no .*package.* named 'mate'"),
        (('id = "storm"', 'id = "aqua"'), "'aqua' is listed twice"),
    ],
)
def test_mistakes_in_the_table(tmp_path, change, match):
    import edgekit_calibration

    text = (Path(edgekit_calibration.__file__).parent / "sources.toml").read_text("utf-8")
    assert change[0] in text
    (tmp_path / "sources.toml").write_text(text.replace(*change), "utf-8")
    with pytest.raises(InvalidFile, match=match):
        read_sources(tmp_path / "sources.toml")
