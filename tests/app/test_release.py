"""What a release offers: files that can be made again, and a workflow that makes them of what is tested here."""

import hashlib
import json
import os
from pathlib import Path
import re
import shutil
from typing import Any
import zipfile

import pytest
import yaml

from script.parcel.pack import INTEGRATION, MODULE, NotBuilt, bill_of_materials, pack
from tests.app.files import CONFIG, ROOT

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (ROOT / ".github/workflows").glob("*.yml")
}
RELEASE: dict[str, Any] = WORKFLOWS["release"]
STEPS = [(name, job, step) for name, job in RELEASE["jobs"].items() for step in job["steps"]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return what a release is packed from, with a frontend that is built."""
    root = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("frontend")
    shutil.copytree(ROOT / INTEGRATION, root / INTEGRATION, ignore=ignored)
    for place in ("requirements/brain.txt", "frontend/package.json", "frontend/package-lock.json"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, root / place)
    module = root / INTEGRATION / "frontend/kitty-abcdef12.js"
    module.parent.mkdir()
    module.write_text("export {};\n", "utf-8")
    cache = root / INTEGRATION / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "left.pyc").touch()
    return root


def step(action: str) -> dict[str, Any]:
    """Return what the one step of the release that uses an action is told."""
    (found,) = [one for _, _, one in STEPS if one.get("uses", "").startswith(action)]
    told: dict[str, Any] = found["with"]
    return told


# -- the files ------------------------------------------------------------------------------------------


def test_hacs_finds_the_integration_at_the_top_of_the_zip(checkout: Path, tmp_path: Path) -> None:
    """With its panel, its texts and its pictures, and nothing that Python left there."""
    pack(checkout, tmp_path / "dist")
    wanted = json.loads((ROOT / "hacs.json").read_text("utf-8"))
    assert wanted["zip_release"]
    with zipfile.ZipFile(tmp_path / "dist" / wanted["filename"]) as archive:
        names = set(archive.namelist())
    assert {
        "manifest.json",
        "__init__.py",
        "services.yaml",
        "translations/en.json",
        "brand/icon.png",
    } <= names
    assert [name for name in names if Path(name).match(MODULE)] == ["frontend/kitty-abcdef12.js"]
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_same_files_make_the_same_release(checkout: Path, tmp_path: Path) -> None:
    """Byte for byte: whoever packs it again can compare."""
    first = [path.read_bytes() for path in pack(checkout, tmp_path / "one")]
    for path in (checkout / INTEGRATION).rglob("*"):
        path.touch()
    assert [path.read_bytes() for path in pack(checkout, tmp_path / "two")] == first


def test_the_sums_are_those_of_the_files(checkout: Path, tmp_path: Path) -> None:
    """In the form that sha256sum checks."""
    *files, sums = pack(checkout, tmp_path / "dist")
    listed = dict(reversed(line.split()) for line in sums.read_text("ascii").splitlines())
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_release_without_a_panel_is_none(checkout: Path, tmp_path: Path) -> None:
    """It says how to build it."""
    (checkout / INTEGRATION / "frontend/kitty-abcdef12.js").unlink()
    with pytest.raises(NotBuilt, match="run script/frontend"):
        pack(checkout, tmp_path / "dist")


def test_of_several_panels_the_newest_is_released(checkout: Path, tmp_path: Path) -> None:
    """Which is the one that the integration serves; the builder's own notes stay here."""
    folder = checkout / INTEGRATION / "frontend"
    (folder / "kitty-00000000.js").touch()
    os.utime(folder / "kitty-00000000.js", (1, 1))
    (folder / ".stamp").touch()
    pack(checkout, tmp_path / "dist")
    with zipfile.ZipFile(tmp_path / "dist/kitty.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("frontend/")]
    assert names == ["frontend/kitty-abcdef12.js"]


def test_the_bill_names_every_package_of_the_image_with_its_hashes() -> None:
    """Those that its build insists on."""
    bill = bill_of_materials(ROOT)
    locked = (ROOT / "requirements/brain.txt").read_text("utf-8")
    pins = set(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", locked, re.MULTILINE))
    python = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    assert {(one["name"], one["version"]) for one in python} == pins
    assert sum(len(one["hashes"]) for one in python) == locked.count("--hash=sha256:")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_the_bill_names_what_the_panel_is_made_of() -> None:
    """With what that needs itself, and not the tools that built it."""
    names = {
        one["name"]
        for one in bill_of_materials(ROOT)["components"]
        if one["purl"].startswith("pkg:npm/")
    }
    assert {"lit", "lit-html", "@lit/reactive-element"} <= names
    assert names.isdisjoint({"vite", "typescript", "vitest"})


# -- the workflow ---------------------------------------------------------------------------------------


def test_the_release_builds_the_image_that_the_app_names() -> None:
    """For each of its machines."""
    told = RELEASE["env"]
    assert f"{told['REGISTRY']}/{told['IMAGE']}" == CONFIG["image"]
    assert json.loads(told["ARCHITECTURES"]) == CONFIG["arch"]


def test_the_release_builds_the_file_that_is_tested() -> None:
    """With the version of the app, and signed, which is what the builder does unless it is told not to."""
    told = step("home-assistant/builder/actions/build-image")
    assert (told["file"], told["context"]) == ("deploy/Dockerfile", ".")
    assert "needs.prepare.outputs.version" in told["version"]
    assert "cosign" not in told
    assert "io.hass.type=app" in told["labels"]


def test_the_builders_actions_are_of_one_release() -> None:
    """They are made for each other."""
    used = [
        one["uses"]
        for _, _, one in STEPS
        if one.get("uses", "").startswith("home-assistant/builder/")
    ]
    assert len(used) == 3
    assert {one.partition("@")[2] for one in used} == {"2026.06.0"}


def test_a_tag_that_is_not_the_version_is_refused() -> None:
    """Before anything is built: everything waits for that job."""
    assert RELEASE["jobs"]["prepare"]["steps"][1]["id"] == "version"
    others = {name: job for name, job in RELEASE["jobs"].items() if name != "prepare"}
    assert [name for name, job in others.items() if "prepare" not in job["needs"]] == []


def test_the_files_of_the_release_are_those_of_the_script() -> None:
    """With the word of the forge that this workflow made them."""
    ran = [one.get("run", "") for one in RELEASE["jobs"]["parcel"]["steps"]]
    assert "script/release dist" in ran
    assert step("actions/attest-build-provenance") == {"subject-path": "dist/*"}


def test_what_runs_the_code_of_others_may_write_nothing() -> None:
    """Packages that build the panel can neither sign nor replace what is released."""
    builds = {
        name
        for name, job in RELEASE["jobs"].items()
        for one in job["steps"]
        if one.get("run", "").startswith("script/")
    }
    assert builds == {"parcel"}
    assert RELEASE["jobs"]["parcel"]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_nothing_unless_a_job_says_so(name: str) -> None:
    """And leaves no credential in the checkout."""
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    checkouts = [
        one
        for job in workflow["jobs"].values()
        for one in job["steps"]
        if one.get("uses", "").startswith("actions/checkout@")
    ]
    assert [one for one in checkouts if one["with"]["persist-credentials"] is not False] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_workflow_pastes_words_of_others_into_a_shell(name: str) -> None:
    """They come by the environment."""
    lines = [
        one["run"]
        for job in WORKFLOWS[name]["jobs"].values()
        for one in job["steps"]
        if "run" in one
    ]
    assert [line for line in lines if "${{" in line] == []
