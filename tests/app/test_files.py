"""The app's files: what the Supervisor and the app store make of them, and that they tell the truth."""

from collections.abc import Mapping
from dataclasses import fields
import fnmatch
import json
from pathlib import Path
import re
import shutil
import subprocess
import tomllib
from typing import Any

from PIL import Image
import pytest
import yaml

from brain_server.addon.backup import DATABASES, MARK
from brain_server.addon.host import MQTT
from brain_server.settings import Settings
from tests.app.files import ADDON, CONFIG, ROOT, mistakes, rating

LANGUAGES = ("en", "de", "fr")
PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin:/bin")
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text("utf-8")
ROOTFS = ADDON / "rootfs"


def committed() -> list[Path]:
    """Return the files that a clone of the repository has, or will have."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in listed.splitlines()]


def translation(language: str) -> dict[str, Any]:
    """Return the texts of the options page in a language."""
    found: dict[str, Any] = yaml.safe_load(
        (ADDON / f"translations/{language}.yaml").read_text("utf-8")
    )
    return found


# -- the configuration ----------------------------------------------------------------------------------


def test_the_supervisor_and_the_store_take_the_configuration() -> None:
    """Without an error and without a warning."""
    assert list(mistakes(CONFIG)) == []


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"ingress_port": 8099}, "ingress_port says its default"),
        ({"startup": "application"}, "startup says its default"),
        ({"boot": "auto"}, "boot says its default"),
        ({"stage": "stable"}, "stage says its default"),
        ({"apparmor": True}, "apparmor says its default"),
        ({"hassio_role": "default"}, "hassio_role says its default"),
        ({"panel_admin": True}, "panel_admin says its default"),
        ({"init": True}, "init says its default"),
        ({"ingress_port": 0}, "ingress_port: 0 does not fit"),
        ({"timeout": 5}, "timeout: 5 does not fit"),
        ({"slug": "kitty brain"}, "slug: 'kitty brain' does not fit"),
        ({"tmpfs": "size=1m"}, "tmpfs: 'size=1m' does not fit"),
        ({"arch": ["armv7"]}, "arch: neither amd64 nor aarch64"),
        ({"services": ["mqtt:please"]}, "services: no such service"),
        ({"ports": {"8100": None}}, "ports: 8100"),
        ({"backup": "cold"}, "backup: cold has neither pre nor post"),
        ({"schema": {"mqtt": "boolean"}}, "schema: mqtt"),
        ({"schema": {"mqtt": "bool?"}}, "options: mqtt may be left out and has a default"),
        ({"options": {"nothing": 1}}, "options: nothing is in no schema"),
        ({"options": {}}, "options: mqtt has no default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_known_to_be_refused_is_found(change: Mapping[str, Any], mistake: str) -> None:
    """The check itself can fail."""
    assert mistake in list(mistakes(CONFIG | change))


@pytest.mark.parametrize(
    "key", ["watchdog", "webui", "codenotary", "advanced", "build_from", "auto_uart", "snapshot"]
)
def test_what_nobody_should_use_any_more_is_found(key: str) -> None:
    """Each of them is an error or a warning somewhere."""
    assert len(list(mistakes(CONFIG | {key: "something"}))) == 1


def test_the_security_rating_is_the_best_there_is() -> None:
    """Eight of eight, by the Supervisor's own rule."""
    assert rating(CONFIG, profile=(ADDON / "apparmor.txt").exists()) == 8


@pytest.mark.parametrize(
    ("config", "profile", "expected"),
    [
        ({"ingress": True, "privileged": ["PERFMON"]}, False, 6),
        ({"ingress": True, "host_network": True, "privileged": ["SYS_ADMIN"]}, True, 6),
        ({"ingress": True, "hassio_role": "manager", "host_network": True}, False, 5),
        ({"ingress": True, "full_access": True}, True, 1),
        ({"ports": {"80/tcp": 80}, "apparmor": False}, False, 4),
        ({"ports": {"80/tcp": 80}, "auth_api": True}, False, 6),
        (
            {
                "host_network": True,
                "host_pid": True,
                "hassio_role": "admin",
                "kernel_modules": True,
            },
            False,
            1,
        ),
    ],
)
def test_the_rule_rates_others_as_the_store_does(
    config: Mapping[str, Any], profile: bool, expected: int
) -> None:
    """Among them the figures of well-known apps."""
    assert rating(config, profile=profile) == expected


def test_the_app_has_no_right_over_home_assistant_or_the_supervisor() -> None:
    """Nothing is mapped, nothing is shared with the host, and the one port is closed."""
    rights = {
        "homeassistant_api",
        "hassio_api",
        "hassio_role",
        "auth_api",
        "docker_api",
        "map",
        "privileged",
    }
    host = {
        "host_network",
        "host_pid",
        "host_ipc",
        "host_uts",
        "host_dbus",
        "devices",
        "full_access",
        "uart",
        "usb",
    }
    assert (rights | host) & CONFIG.keys() == set()
    assert (CONFIG["discovery"], CONFIG["services"]) == (["kitty"], ["mqtt:want"])
    assert CONFIG["ports"] == {"8100/tcp": None}


def test_the_page_and_the_api_share_the_port() -> None:
    """There is no second one to watch."""
    assert {CONFIG["ingress_port"], Settings().port} == {8100}
    assert re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE) == ["8100"]


def test_every_option_is_a_setting_of_the_brain() -> None:
    """All but the switch for the house's broker, which the app itself reads."""
    known = {item.name for item in fields(Settings)}
    assert set(CONFIG["schema"]) - known == {MQTT}


def test_the_defaults_of_the_options_are_those_of_the_brain() -> None:
    """Whoever reads the documentation is told the truth."""
    chosen = {name: value for name, value in CONFIG["options"].items() if name != MQTT}
    brain = Settings()
    assert chosen == {name: getattr(brain, name) for name in chosen}
    assert CONFIG["options"][MQTT] is False


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_says_what_it_is(language: str) -> None:
    """With a name and a sentence, and no other option does."""
    texts = translation(language)
    assert list(texts["configuration"]) == list(CONFIG["schema"])
    assert all(one["name"] and one["description"] for one in texts["configuration"].values())
    assert set(texts["network"]) == set(CONFIG["ports"])


def test_what_marks_the_folder_is_in_no_backup() -> None:
    """Else a restore would not be noticed; the databases and the keys are in it."""
    left_out = CONFIG["backup_exclude"]
    kept = (*DATABASES, "keys.json", "token", "backup/safety.db", "files/ab12")
    assert [
        name
        for name in (MARK, "safety.db.ballast", "models/a.gguf")
        if not _matches(name, left_out)
    ] == []
    assert [name for name in kept if _matches(name, left_out)] == []


def _matches(name: str, patterns: list[str]) -> bool:
    return any(Path("/data", name).match(pattern) for pattern in patterns)


# -- the other files ------------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    """In the app, its changelog, the integration, the package and the changelog of the repository."""
    manifest = json.loads((ROOT / "custom_components/kitty/manifest.json").read_text("utf-8"))
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    newest = [
        re.findall(
            r"^## \[?(\d+\.\d+\.\d+)", (place / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
        )[0]
        for place in (ADDON, ROOT)
    ]
    assert {CONFIG["version"], manifest["version"], package["version"]} == set(newest)


def test_the_app_and_the_integration_want_the_same_home_assistant() -> None:
    """Whoever can install one can install the other."""
    hacs = json.loads((ROOT / "hacs.json").read_text("utf-8"))
    assert CONFIG["homeassistant"] == hacs["homeassistant"]


def test_the_repository_is_one_of_apps() -> None:
    """With a name, an address and somebody who keeps it."""
    repository = yaml.safe_load((ROOT / "repository.yaml").read_text("utf-8"))
    assert set(repository) == {"name", "url", "maintainer"}
    assert repository["url"] == CONFIG["url"]


def test_nothing_else_looks_like_an_app() -> None:
    """The Supervisor takes every config.yaml, .yml or .json of the repository for one."""
    names = {f"config.{ending}" for ending in ("yaml", "yml", "json")}
    found = [
        path
        for path in committed()
        if path.name in names
        and "rootfs" not in path.parts
        and not any(part.startswith(".") for part in path.parts)
    ]
    assert found == [Path("addon/config.yaml")]


def test_the_pictures_have_the_size_of_the_store() -> None:
    """A square icon, and a logo that is wider than high; on a transparent ground."""
    with Image.open(ADDON / "icon.png") as icon, Image.open(ADDON / "logo.png") as logo:
        assert (icon.size, icon.mode, logo.mode) == ((128, 128), "RGBA", "RGBA")
        assert (logo.width, 80 <= logo.height <= 110) == (250, True)


@pytest.mark.parametrize("name", ["README.md", "DOCS.md", "CHANGELOG.md"])
def test_the_store_has_something_to_show(name: str) -> None:
    """And links that leave the app lead to addresses, because nothing lies beside it there."""
    text = (ADDON / name).read_text("utf-8")
    assert text.startswith("# ")
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link] == []


def test_the_image_is_made_of_what_the_builder_may_see() -> None:
    """The list of what is not ignored names all that is copied from here."""
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    seen = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    ]
    assert sorted(copied) == sorted(seen)


def test_the_app_is_what_comes_of_the_dockerfile_without_a_word() -> None:
    """The workflow that builds it names no stage."""
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE) == [
        "packages",
        "brain",
        "app",
    ]


def test_what_is_installed_is_pinned_by_its_hash() -> None:
    """And nothing is compiled on anybody's machine."""
    (install,) = re.findall(r"pip install (.+?) \\?$", DOCKERFILE, re.MULTILINE)
    assert install == "--require-hashes --only-binary :all: --requirement /tmp/brain.txt"


def test_the_supervisor_finds_the_commands_of_its_backups() -> None:
    """In the image, where everybody may run them."""
    names = [CONFIG[key].split()[0] for key in ("backup_pre", "backup_post")]
    programs = [ROOTFS / "usr/local/bin" / name for name in {*names, "kitty-app"}]
    assert [path for path in programs if not path.stat().st_mode & 0o001] == []


@pytest.mark.parametrize("program", sorted(ROOTFS.rglob("kitty-*")), ids=lambda path: path.name)
def test_whoever_starts_the_brain_gives_up_every_right_first(program: Path) -> None:
    """The user, the groups, the capabilities, the way back to them, and the Supervisor's token."""
    text = program.read_text("utf-8")
    assert [
        word
        for word in (
            *("--unset=SUPERVISOR_TOKEN", "--unset=HASSIO_TOKEN", "--reuid=kitty", "--regid=kitty"),
            *("--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
        )
        if word not in text
    ] == []
    assert text.count("python -m") == 1


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_programs_are_good_shell() -> None:
    """So says shellcheck."""
    programs = [str(path) for path in sorted(ROOTFS.rglob("kitty-*"))]
    done = subprocess.run(["shellcheck", *programs], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# -- the profile ----------------------------------------------------------------------------------------


@pytest.mark.skipif(PARSER is None, reason="needs script/setup --app")
def test_apparmor_understands_the_profile() -> None:
    """Compiled, not loaded: that takes a kernel with AppArmor."""
    done = subprocess.run(
        [str(PARSER), "-Q", "-K", "-b", "/etc/apparmor.d", str(ADDON / "apparmor.txt")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "error" in done.stderr.lower()) == (0, False)


def test_the_profile_can_be_renamed() -> None:
    """The Supervisor does so: there is one profile, and nothing calls it by name."""
    text = (ADDON / "apparmor.txt").read_text("utf-8")
    assert re.findall(r"^\s*profile (\S+)", text, re.MULTILINE) == [CONFIG["slug"]]
    rules = re.sub("#(?!include).*", "", text)
    assert len(re.findall(r"(?<![\w/])kitty(?![\w-])", rules.replace("/home/kitty", ""))) == 1


def test_the_profile_allows_only_what_the_start_needs() -> None:
    """No capability of those that the rating is lowered for, nothing raw, nothing run from what is written."""
    text = (ADDON / "apparmor.txt").read_text("utf-8")
    rights = set(re.findall(r"^\s*capability (\w+),", text, re.MULTILINE))
    assert rights == {"chown", "dac_override", "kill", "setgid", "setpcap", "setuid"}
    assert "network packet" not in text
    assert [
        word
        for word in re.findall(r"^\s*(?:owner )?(/(?:data|tmp)\S*) (\w+),", text, re.MULTILINE)
        if "x" in word[1]
    ] == []
    assert fnmatch.filter(text.splitlines(), "*deny /data/[*][*] x,")
