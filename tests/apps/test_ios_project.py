"""What the iOS app consists of beside its Swift: the Xcode project, the property lists, the privacy manifest, the texts. No Mac has opened them."""

from __future__ import annotations

import json
import plistlib
import re
from pathlib import Path
from typing import Any

import openstep
import pytest

DEMO = Path(__file__).parents[2] / "ios-demo"
SOURCES = DEMO / "App/Sources"
PROJECT = DEMO / "EdgekitDemo.xcodeproj/project.pbxproj"
SWIFT = {file.relative_to(DEMO).as_posix(): file.read_text("utf-8") for file in sorted(SOURCES.rglob("*.swift"))}
IDENTIFIER = re.compile(r"[0-9A-F]{24}")
MODEL_FORMATS = (".mlpackage", ".mlmodel")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found = openstep.loads(PROJECT.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def objects(project) -> dict[str, Any]:
    return project["objects"]


def of_kind(objects: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [value for value in objects.values() if value["isa"] == kind]


def words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for key, part in value.items() for word in (key, *words(part))]
    if isinstance(value, list):
        return [word for part in value for word in words(part)]
    return [value]


def test_every_identifier_leads_to_an_object_and_every_object_is_used(project, objects):
    used = {word for word in words(list(objects.values())) if IDENTIFIER.fullmatch(word)} | {project["rootObject"]}
    assert used == set(objects)
    assert objects[project["rootObject"]]["isa"] == "PBXProject"


def test_the_format_has_synchronized_folders(project, objects):
    assert int(project["objectVersion"]) >= 77, "Xcode 16 made folders that follow the disk with this version"
    (target,) = of_kind(objects, "PBXNativeTarget")
    (folder,) = of_kind(objects, "PBXFileSystemSynchronizedRootGroup")
    assert [objects[group] for group in target["fileSystemSynchronizedGroups"]] == [folder]


def places(objects: dict[str, Any], group: str, at: Path) -> dict[str, Path]:
    """Where each member of a group lies, its groups' members included."""
    found = {}
    for child in objects[group].get("children", []):
        entry = objects[child]
        if entry["sourceTree"] == "<group>":
            found[child] = at / entry.get("path", "")
            found |= places(objects, child, found[child])
    return found


def test_every_path_exists(objects):
    (root,) = of_kind(objects, "PBXProject")
    found = places(objects, root["mainGroup"], DEMO)
    assert {SOURCES, DEMO / "App/Info.plist", DEMO / "App/Bundles"} <= set(found.values())
    assert [str(path) for path in found.values() if not path.exists()] == []
    built = [value for value in of_kind(objects, "PBXFileReference") if value["sourceTree"] == "BUILT_PRODUCTS_DIR"]
    assert [value["path"] for value in built] == ["EdgekitDemo.app"]


def test_bundles_are_copied_as_a_folder(objects):
    """Members of a synchronized folder would be compiled: models must arrive as `edgekit bundle` copied them."""
    (resources,) = of_kind(objects, "PBXResourcesBuildPhase")
    (bundles,) = [objects[objects[file]["fileRef"]] for file in resources["files"]]
    assert (bundles["path"], bundles["lastKnownFileType"]) == ("Bundles", "folder")
    assert not [file for file in SOURCES.rglob("*") if file.suffix in MODEL_FORMATS]


def test_packages_and_products_exist(objects):
    folders = {reference["relativePath"] for reference in of_kind(objects, "XCLocalSwiftPackageReference")}
    stated = [(DEMO / folder / "Package.swift").read_text("utf-8") for folder in sorted(folders)]
    offered = {name for text in stated for name in re.findall(r'\.library\(name: "(\w+)"', text)}
    products = {value["productName"] for value in of_kind(objects, "XCSwiftPackageProductDependency")}
    (target,) = of_kind(objects, "PBXNativeTarget")
    assert {objects[value]["productName"] for value in target["packageProductDependencies"]} == products
    assert products == offered == {"EnhancerCore", "CoreMLEnhancer", "DemoLogic"}
    imported = {name for text in SWIFT.values() for name in re.findall(r"^import (\w+)", text, re.M)}
    assert products <= imported


def test_settings(objects):
    settings = [value["buildSettings"] for value in of_kind(objects, "XCBuildConfiguration")]
    stated = {key: {str(other.get(key, value[key])) for other in settings} for value in settings for key in value}
    assert stated["SWIFT_VERSION"] == {"6.0"}
    assert stated["PRODUCT_BUNDLE_IDENTIFIER"] == {"edgekit.demo"}
    assert "DEVELOPMENT_TEAM" not in stated, "somebody's own team"
    (release,) = stated["IPHONEOS_DEPLOYMENT_TARGET"]
    for package in ("EnhancerKit", "DemoLogic"):
        assert f".iOS(.v{release.partition('.')[0]})" in (DEMO / package / "Package.swift").read_text("utf-8")
    for value in settings:
        if "INFOPLIST_FILE" in value:
            assert (DEMO / value["INFOPLIST_FILE"]).is_file()


def test_the_app_opens_what_the_ios_target_makes(objects):
    """Its deployment target is the oldest system that opens the files of `--target ios`."""
    from edgekit_targets.coreml import DELEGATES, CoreML

    (release,) = {value["buildSettings"].get("IPHONEOS_DEPLOYMENT_TARGET") for value in of_kind(objects, "XCBuildConfiguration")} - {None}
    assert f"iOS{release.partition('.')[0]}" == CoreML().minimum_deployment_target
    units = (DEMO / "EnhancerKit/Sources/CoreMLEnhancer/ComputeUnits.swift").read_text("utf-8")
    assert set(re.findall(r'= "([\w+]+)"', units)) == set(DELEGATES.values())


@pytest.mark.parametrize("broken", ["{ a = 1 }", "{ a = (1, 2; }", "{ a = 1; a = 2; }", "{ a = 1; } b", '{ a = "1; }', "{ = 1; }", ""])
def test_a_broken_property_list_is_refused(broken):
    with pytest.raises(ValueError, match="line 1"):
        openstep.loads(broken)


def test_information():
    information = plistlib.loads((DEMO / "App/Info.plist").read_bytes())
    uses = {key: value for key, value in information.items() if key.endswith("UsageDescription")}
    assert set(uses) == {"NSCameraUsageDescription", "NSPhotoLibraryAddUsageDescription"}
    assert all(len(value) > 20 and value.endswith(".") for value in uses.values())
    assert information["UISupportedInterfaceOrientations"] == ["UIInterfaceOrientationPortrait"], "the camera's preview is turned for that one only"
    assert "NSAppTransportSecurity" not in information


REQUIRED_REASONS = {
    "NSPrivacyAccessedAPICategoryUserDefaults": r"UserDefaults|@AppStorage",
    "NSPrivacyAccessedAPICategoryFileTimestamp": r"creationDate|modificationDate|contentModificationDateKey|creationDateKey|\bl?stat\(|getattrlist",
    "NSPrivacyAccessedAPICategorySystemBootTime": r"systemUptime|mach_absolute_time",
    "NSPrivacyAccessedAPICategoryDiskSpace": r"volumeAvailableCapacity|systemFreeSize|systemSize|\bstatv?fs\(",
    "NSPrivacyAccessedAPICategoryActiveKeyboards": r"activeInputModes",
}
"""Apple's list of API that an app has to give a reason for."""


def test_privacy_manifest_states_what_the_sources_use():
    manifest = plistlib.loads((SOURCES / "PrivacyInfo.xcprivacy").read_bytes())
    assert manifest["NSPrivacyTracking"] is False
    assert manifest["NSPrivacyTrackingDomains"] == manifest["NSPrivacyCollectedDataTypes"] == []
    packages = [file.read_text("utf-8") for package in ("EnhancerKit", "DemoLogic") for file in (DEMO / package / "Sources").rglob("*.swift")]
    everything = "\n".join([*SWIFT.values(), *packages])
    used = {category for category, pattern in REQUIRED_REASONS.items() if re.search(pattern, everything)}
    stated = {entry["NSPrivacyAccessedAPIType"] for entry in manifest["NSPrivacyAccessedAPITypes"]}
    assert stated == used
    assert all(entry["NSPrivacyAccessedAPITypeReasons"] for entry in manifest["NSPrivacyAccessedAPITypes"])


def test_no_network():
    sources = {
        file.name: file.read_text("utf-8") for folder in ("App", "DemoLogic", "EnhancerKit/Sources") for file in (DEMO / folder).rglob("*.swift")
    }
    pattern = r"URLSession|URLRequest|NSURLConnection|NWConnection|import Network|CFNetwork|import WebKit|https?://"
    assert [name for name, text in sources.items() if re.search(pattern, text)] == []


SHOWN = re.compile(
    r'(?:\b(?:Text|Button|Label)\(|\.(?:accessibility(?:Label|Hint|Value)|navigationTitle|alert)\()(?:[^"\n()]* \? )?'
    r'"((?:[^"\\]|\\\((?:[^()"]|"[^"]*"|\([^()]*\))*\)|\\.)*)"(?: : "([^"]*)")?'
)
INSERTED = re.compile(r'\\\((?:[^()"]|"[^"]*"|\((?:[^()]|\([^()]*\))*\))*\)')


def shown_texts() -> set[str]:
    """As the catalogue's keys, with ? for each inserted value."""
    return {INSERTED.sub("?", text) for source in SWIFT.values() for pair in SHOWN.findall(source) for text in pair if text}


def test_every_text_can_be_translated():
    catalogue = json.loads((SOURCES / "Localizable.xcstrings").read_text("utf-8"))
    assert catalogue["sourceLanguage"] == "en"
    assert {re.sub(r"%(@|lld)", "?", key) for key in catalogue["strings"]} == shown_texts()


def test_every_picture_that_acts_has_a_name():
    """A button or picture without words has a label for VoiceOver, or is said to be decoration."""
    for name, source in SWIFT.items():
        for match in re.finditer(r"Image\(systemName: .*", source):
            after = source[match.start() : match.start() + 250]
            assert "accessibilityLabel" in after or "Text(" in source[max(0, match.start() - 200) : match.start()], f"{name}: {match[0]}"


def test_the_catalogue_of_problems_is_whole():
    """Each problem of the logic has its line."""
    problems = re.findall(
        r"^    case (\w+)", (DEMO / "DemoLogic/Sources/DemoLogic/Problem.swift").read_text("utf-8").partition("enum Remedy")[0], re.M
    )
    screen = SWIFT["App/Sources/Screens/ProblemScreen.swift"]
    assert len(problems) > 8
    assert [problem for problem in problems if not re.search(rf"case \.{problem}\b.*: Text\(", screen)] == []
