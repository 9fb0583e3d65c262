"""The files of a release: ``kitty.zip`` as HACS wants it, ``kitty.cdx.json``, ``SHA256SUMS``."""

import hashlib
import json
from pathlib import Path
import re
from typing import Any, Final
import zipfile

ROOT: Final = Path(__file__).parents[2]
INTEGRATION: Final = Path("custom_components/kitty")
# Of the panel, built by script/frontend; its name holds the hash of its content.
MODULE: Final = "frontend/kitty-*.js"
LEFT_OUT: Final = {"__pycache__", ".DS_Store", ".stamp"}
# The same in every zip: what is in it counts, not when it was packed.
LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)
_PIN: Final = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.IGNORECASE)


class NotBuilt(Exception):
    """Something that goes into the release has to be made first."""


def pack(root: Path, folder: Path) -> list[Path]:
    """Pack the release of a checkout into a folder; returns what was made. NotBuilt without the frontend."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / "kitty.zip", folder / "kitty.cdx.json", folder / "SHA256SUMS"]
    pack_integration(root / INTEGRATION, made[0])
    bill = bill_of_materials(root)
    made[1].write_text(json.dumps(bill, indent=2) + "\n", "utf-8")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made[:2]]
    made[2].write_text("".join(sums), "ascii")
    return made


def pack_integration(folder: Path, to: Path) -> None:
    """Pack the folder of the integration; its files lie at the top. The same files make the same zip."""
    built = sorted(folder.glob(MODULE), key=lambda path: path.stat().st_mtime)
    if not built:
        raise NotBuilt(f"No built frontend in {folder}; run script/frontend")
    # Earlier ones lie there for a Home Assistant that still serves them, which nobody has who unpacks a release.
    old = set(built[:-1])
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and path not in old and not LEFT_OUT & set(inside.parts):
                entry = zipfile.ZipInfo(inside.as_posix(), LONG_AGO)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


def bill_of_materials(root: Path) -> dict[str, Any]:
    """Return what the image and the panel are made of, with the hashes that the image's build insists on."""
    manifest = json.loads((root / INTEGRATION / "manifest.json").read_text("utf-8"))
    locked = (root / "requirements/brain.txt").read_text("utf-8")
    lock = json.loads((root / "frontend/package-lock.json").read_text("utf-8"))
    panel = json.loads((root / "frontend/package.json").read_text("utf-8"))["dependencies"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "kitty", "version": manifest["version"]}
        },
        "components": [
            *_of_python(locked),
            *(_of_node(name, lock["packages"]) for name in _with_theirs(panel, lock["packages"])),
        ],
    }


def _of_python(locked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in locked.splitlines():
        if pin := _PIN.match(line):
            name, version = pin[1].lower(), pin[2]
            found.append(_component(name, version, f"pkg:pypi/{name}@{version}"))
        elif digest := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            found[-1].setdefault("hashes", []).append({"alg": "SHA-256", "content": digest[1]})
    return found


def _with_theirs(names: dict[str, str], packages: dict[str, Any]) -> list[str]:
    """Return packages and all that they need themselves."""
    found: dict[str, None] = {}
    left = list(names)
    while left:
        name = left.pop(0)
        if name not in found:
            found[name] = None
            left += packages[f"node_modules/{name}"].get("dependencies", {})
    return sorted(found)


def _of_node(name: str, packages: dict[str, Any]) -> dict[str, Any]:
    version = packages[f"node_modules/{name}"]["version"]
    return _component(name, version, f"pkg:npm/{name.replace('@', '%40')}@{version}")


def _component(name: str, version: str, url: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
