"""What we ship to run several brains with: it names settings, routes and files that there are."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
import re
import subprocess
from typing import Any

import pytest
import yaml

from brain_server.settings import Settings
from tests.brain.home import Rest, running
from tests.standins.haproxy import CONFIG, environment, program

DEPLOY = CONFIG.parent
ROOT = DEPLOY.parent
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
BRAINS = [name for name in COMPOSE["services"] if name.startswith("brain-")]
VARIABLES = {f"KITTY_{item.name.upper()}" for item in fields(Settings)}
OF_HAPROXY = set(re.findall(r"\$\{(\w+)", CONFIG.read_text("utf-8")))


def manifests() -> Iterator[dict[str, Any]]:
    """Return what kustomize puts together."""
    kustomization = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text("utf-8"))
    for name in kustomization["resources"]:
        yield from yaml.safe_load_all((DEPLOY / name).read_text("utf-8"))


MANIFESTS = {(one["kind"], one["metadata"]["name"]): one for one in manifests()}
WORKLOADS = {
    key: one["spec"] for key, one in MANIFESTS.items() if "template" in one.get("spec", {})
}


def pod(kind: str, name: str) -> Any:
    """Return the specification of the pods of a workload."""
    return MANIFESTS[kind, name]["spec"]["template"]["spec"]


BRAIN = pod("StatefulSet", "kitty-brain")
PROXY = pod("Deployment", "kitty-haproxy")
SECRET = MANIFESTS["Secret", "kitty-brain"]["stringData"]


def variables(container: dict[str, Any]) -> dict[str, str]:
    """Return what a container is told by name."""
    return {one["name"]: one["value"] for one in container["env"]}


def loaded(told: dict[str, str]) -> Settings:
    """Return the settings that a brain makes of its environment."""
    return Settings.load({}, told)


# -- the brains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BRAINS)
def test_compose_tells_the_brain_only_settings_that_there_are(name: str) -> None:
    """A misspelt one would be passed over without a word."""
    assert set(COMPOSE["services"][name]["environment"]) - VARIABLES == set()


def test_kubernetes_tells_the_brain_only_settings_that_there_are() -> None:
    """In its manifest and in its secret."""
    (container,) = BRAIN["containers"]
    assert {*variables(container), *SECRET} - VARIABLES == set()


def test_the_image_tells_the_brain_only_settings_that_there_are() -> None:
    """In its file."""
    told = set(re.findall(r"KITTY_\w+", (DEPLOY / "Dockerfile").read_text("utf-8")))
    assert told
    assert told - VARIABLES == set()


def test_the_brains_of_compose_share_a_database_and_a_folder() -> None:
    """Else none would stand by for another."""
    services = [COMPOSE["services"][name] for name in BRAINS]
    made = [loaded(one["environment"]) for one in services]
    assert [one.shares_database for one in made] == [True, True]
    assert len({(one.database_url, str(one.data_dir)) for one in made}) == 1
    mounts = {tuple(one["volumes"]) for one in services}
    assert mounts == {(f"data:{made[0].data_dir}",)}


def test_the_brains_of_kubernetes_share_a_database_and_a_folder() -> None:
    """Which can be mounted more than once."""
    (container,) = BRAIN["containers"]
    made = loaded(variables(container) | SECRET)
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    (volume,) = [one for one in BRAIN["volumes"] if one["name"] == mounts[str(made.data_dir)]]
    claim = MANIFESTS["PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]]
    assert (made.shares_database, claim["spec"]["accessModes"]) == (True, ["ReadWriteMany"])


def test_the_brains_listen_where_the_others_ask() -> None:
    """From outside of their container."""
    (container,) = BRAIN["containers"]
    made = [loaded(COMPOSE["services"][name]["environment"]) for name in BRAINS]
    made.append(loaded(variables(container)))
    ports = [one["containerPort"] for one in container["ports"]]
    assert {(one.host, one.port) for one in made} == {("0.0.0.0", ports[0])}  # noqa: S104 - their own container
    service = MANIFESTS["Service", "kitty-brains"]["spec"]
    assert [one["port"] for one in service["ports"]] == ports
    assert service["clusterIP"] == "None"


async def test_the_probes_ask_for_routes_that_answer(tmp_path: Path) -> None:
    """Each of them, without a token."""
    (container,) = BRAIN["containers"]
    probes = [one["httpGet"]["path"] for name, one in container.items() if name.endswith("Probe")]
    checks = [" ".join(COMPOSE["services"][name]["healthcheck"]["test"]) for name in BRAINS]
    asked = {path for check in checks for path in re.findall(r":8100(/\w+)", check)}
    front = set(re.findall(r"httpchk GET (/\w+)", CONFIG.read_text("utf-8")))
    async with running(tmp_path) as brain, Rest(brain, None) as rest:
        answers = {path: (await rest.get(path)).status for path in {*probes, *asked, *front}}
    assert (len(probes), answers) == (3, {"/health": 200, "/awake": 200})


def test_a_brain_that_was_put_to_sleep_is_started_again() -> None:
    """To stand by. A StatefulSet always does so."""
    assert {COMPOSE["services"][name]["restart"] for name in BRAINS} == {"always"}
    assert "restartPolicy" not in BRAIN


def test_one_brain_may_always_go() -> None:
    """For an update of its machine."""
    budget = MANIFESTS["PodDisruptionBudget", "kitty-brain"]["spec"]
    brains = WORKLOADS["StatefulSet", "kitty-brain"]
    assert budget["minAvailable"] == brains["replicas"] - 1
    assert budget["selector"] == brains["selector"]


@pytest.mark.parametrize("key", WORKLOADS, ids=lambda key: key[1])
def test_nobody_in_kubernetes_may_more_than_needed(key: tuple[str, str]) -> None:
    """No root, no capability, nothing to write but the volumes, no credential of the cluster."""
    spec = WORKLOADS[key]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("key", WORKLOADS, ids=lambda key: key[1])
def test_the_labels_of_pods_are_those_that_are_looked_for(key: tuple[str, str]) -> None:
    """By their workload and their service."""
    spec = WORKLOADS[key]
    labels = spec["template"]["metadata"]["labels"]
    services = [one["spec"] for (kind, _), one in MANIFESTS.items() if kind == "Service"]
    assert spec["selector"]["matchLabels"] == labels
    assert [one["selector"] for one in services].count(labels) == 1


@pytest.mark.parametrize("name", BRAINS)
def test_a_brain_of_compose_may_not_more_than_needed(name: str) -> None:
    """It writes into its folder and nowhere else."""
    service = COMPOSE["services"][name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_the_image_is_made_of_files_that_there_are() -> None:
    """And is the one that both start."""
    copied = re.findall(
        r"^COPY (?!--from)(\S+)", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    images = {COMPOSE["services"][name]["image"] for name in BRAINS}
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert images == {BRAIN["containers"][0]["image"]}


# -- what stands in front of them ---------------------------------------------------------------------


def test_compose_and_kubernetes_tell_haproxy_all_that_it_asks_for() -> None:
    """Each brain by its own name."""
    told = COMPOSE["services"]["haproxy"]["environment"]
    assert set(told) == set(variables(PROXY["containers"][0])) == OF_HAPROXY
    servers = {value for name, value in told.items() if name != "KITTY_BIND"}
    assert servers == {f"{name}:8100" for name in BRAINS}


def test_haproxy_knows_the_brains_of_kubernetes_by_name() -> None:
    """As many as there are."""
    brains = WORKLOADS["StatefulSet", "kitty-brain"]
    told = variables(PROXY["containers"][0])
    assert {value for name, value in told.items() if name != "KITTY_BIND"} == {
        f"kitty-brain-{number}.{brains['serviceName']}:8100" for number in range(brains["replicas"])
    }


def test_kubernetes_gives_haproxy_the_configuration_of_compose() -> None:
    """The same file, where its image looks for it."""
    made = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text("utf-8"))["configMapGenerator"]
    (volume,) = PROXY["volumes"]
    mounted = COMPOSE["services"]["haproxy"]["volumes"]
    place = PROXY["containers"][0]["volumeMounts"][0]["mountPath"]
    assert made == [{"name": volume["configMap"]["name"], "files": [CONFIG.name]}]
    assert mounted == [f"./{CONFIG.name}:{place}/haproxy.cfg:ro"]


@pytest.mark.service
def test_haproxy_understands_its_configuration() -> None:
    """Without a warning."""
    done = subprocess.run(
        [program(), "-c", "-V", "-f", str(CONFIG)],
        env=environment(8100, [8101, 8102]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "WARNING" in done.stderr) == (0, False)


def test_everybody_finds_the_files_that_compose_mounts() -> None:
    """Beside it."""
    mounts = [one for service in COMPOSE["services"].values() for one in service.get("volumes", ())]
    files = [one.partition(":")[0] for one in mounts if one.startswith("./")]
    named = {one.partition(":")[0] for one in mounts} - set(files)
    assert [name for name in files if not (DEPLOY / name).exists()] == []
    assert named == set(COMPOSE["volumes"])
