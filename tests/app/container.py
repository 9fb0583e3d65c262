"""The app's image as the Supervisor starts it: its entry point, Docker's rights for root, /data, the app's network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import secrets
import shutil
import signal
import subprocess
import time
from typing import Any, Final

from tests.app.lab import APP, NAMESPACES, SUPERVISOR

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache/app"
RUN: Final = CACHE / "boot"
HOSTNAME: Final = "abc-kitty"
BUILDAH: Final = (
    "buildah",
    *(
        "--root",
        str(CACHE / "images"),
        "--runroot",
        str(CACHE / "run"),
        "--storage-driver",
        "overlay",
    ),
)
# What Docker leaves to root where nobody asks for more or less.
DOCKER_RIGHTS: Final = (
    *(
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
    ),
    *("SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)
# Docker's init, which is this very program: the Supervisor has it started unless an app says otherwise.
INIT: Final = "/sbin/docker-init"
TINI: Final = "tini-static"
MINIMAL: Final = {"PATH": os.environ.get("PATH", ""), "HOME": "/root"}


def output(*command: str) -> str:
    """Run a program and return what it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Image:
    """What was built, unpacked."""

    root: Path
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """Return what the image itself sets."""
        return dict(one.split("=", 1) for one in self.config["Env"])


@contextmanager
def unpacked(name: str) -> Iterator[Image]:
    """Unpack an image for the time of a block."""
    container = output(*BUILDAH, "from", "--pull-never", name)
    try:
        root = output(*BUILDAH, "mount", container)
        config = json.loads(output(*BUILDAH, "inspect", "--type", "image", name))["Docker"][
            "config"
        ]
        yield Image(Path(root), config)
    finally:
        output(*BUILDAH, "rm", container)


@dataclass
class Container:
    """One start of the app."""

    image: Image
    data: Path
    token: str = field(default_factory=lambda: secrets.token_hex(56))
    name: str = field(default_factory=lambda: f"kitty-{secrets.token_hex(4)}")
    options: dict[str, Any] = field(default_factory=lambda: {"log_level": "info", "mqtt": False})
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def bundle(self) -> Path:
        """Return the folder in which the runtime finds what to start."""
        return RUN / self.name

    @property
    def log(self) -> Path:
        """Return what the app wrote to its log."""
        return self.bundle / "log"

    @property
    def environment(self) -> dict[str, str]:
        """Return what the Supervisor and the image set."""
        told = {"TZ": "Europe/Berlin", "SUPERVISOR_TOKEN": self.token, "HASSIO_TOKEN": self.token}
        return self.image.environment | told

    def start(self) -> Container:
        """Write the options as the Supervisor does, which is as root and for root alone, and start."""
        self.data.mkdir(parents=True, exist_ok=True)
        options = self.data / "options.json"
        options.write_text(json.dumps(self.options), "utf-8")
        options.chmod(0o600)
        os.chown(options, 0, 0)
        self.bundle.mkdir(parents=True)
        (self.bundle / "hosts").write_text(
            f"127.0.0.1 localhost\n{APP} {HOSTNAME}\n{SUPERVISOR} supervisor\n"
        )
        (self.bundle / "config.json").write_text(json.dumps(self._specification()))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._crun(), "run", "--bundle", str(self.bundle), self.name],
                env=MINIMAL,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def is_running(self) -> bool:
        """Tell whether the runtime has started it."""
        done = subprocess.run(
            [*self._crun(), "state", self.name],
            env=MINIMAL,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode == 0 and json.loads(done.stdout)["status"] == "running"

    def run_inside(self, *words: str) -> tuple[int, str]:
        """Run a command in the container, as the Supervisor does for backups; its status and its words."""
        environment = [f"--env={name}={value}" for name, value in self.environment.items()]
        done = subprocess.run(
            [
                *self._crun(),
                "exec",
                *environment,
                "--cwd",
                self.image.config["WorkingDir"],
                self.name,
                *words,
            ],
            env=MINIMAL,
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.returncode, done.stdout + done.stderr

    def processes(self) -> list[Path]:
        """Return the folders in /proc of all processes of the container but Docker's own."""
        init = self.init()
        space = _namespace(init)
        return [
            one
            for one in Path("/proc").iterdir()
            if one.name.isdecimal() and one != init and _namespace(one) == space
        ]

    def init(self) -> Path:
        """Return the folder in /proc of the first process."""
        return Path("/proc") / str(json.loads(output(*self._crun(), "state", self.name))["pid"])

    def stop(self, limit: float = 30.0) -> int:
        """Stop it as Docker does; returns its exit status."""
        if self.process.poll() is None:
            subprocess.run([*self._crun(), "kill", self.name, "TERM"], env=MINIMAL, check=False)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return 137

    def kill(self) -> None:
        """End it at once."""
        subprocess.run(
            [*self._crun(), "delete", "--force", self.name],
            env=MINIMAL,
            check=False,
            capture_output=True,
        )
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def clean(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.bundle)

    def _crun(self) -> list[str]:
        # It knows the older kind of cgroups not, and needs none: with a file system that is nothing but the newer one,
        # wherever it runs, it is content.
        own = 'mount -t cgroup2 none /sys/fs/cgroup && exec crun "$@"'
        options = ("--root", str(RUN / "state"), "--cgroup-manager", "disabled")
        return ["unshare", "--mount", "sh", "-c", own, "crun", *options]

    def _specification(self) -> dict[str, Any]:
        names = [f"CAP_{name}" for name in DOCKER_RIGHTS]
        rights = dict.fromkeys(("bounding", "effective", "permitted"), names)
        hidden = ("nosuid", "noexec", "nodev")
        shm = ("nosuid", "noexec", "nodev", "mode=1777")
        spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
        return {
            "ociVersion": "1.0.2",
            "hostname": HOSTNAME,
            "root": {"path": str(self.image.root), "readonly": False},
            "process": {
                "args": [
                    INIT,
                    "--",
                    *self.image.config["Entrypoint"],
                    *(self.image.config.get("Cmd") or ()),
                ],
                "env": [f"{name}={value}" for name, value in self.environment.items()],
                "cwd": self.image.config["WorkingDir"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": rights,
            },
            "mounts": [
                _mount("/proc", "proc", "proc", hidden),
                _mount(
                    "/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")
                ),
                _mount("/dev/shm", "tmpfs", "shm", shm),
                _mount("/tmp", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=1777")),
                _mount("/data", "bind", str(self.data), ("rbind", "rw")),
                _mount(INIT, "bind", str(shutil.which(TINI)), ("rbind", "ro")),
                _mount("/etc/hosts", "bind", str(self.bundle / "hosts"), ("rbind", "ro")),
            ],
            "linux": {
                "namespaces": [*spaces, {"type": "network", "path": str(NAMESPACES[APP])}],
            },
        }


def _mount(place: str, kind: str, source: str, options: tuple[str, ...]) -> dict[str, Any]:
    return {"destination": place, "type": kind, "source": source, "options": list(options)}


def _namespace(process: Path) -> Path | None:
    try:
        return (process / "ns/pid").readlink()
    except OSError:  # it has ended meanwhile
        return None


def wait_for(check: Any, limit: float = 30.0) -> float:
    """Wait until a check holds; returns the seconds that it took."""
    started = time.monotonic()
    while not check():
        if time.monotonic() - started > limit:
            raise TimeoutError
        time.sleep(0.05)  # until the next look
    return time.monotonic() - started
