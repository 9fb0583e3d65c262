"""The house itself: starts the brain and Home Assistant, moves people in, and keeps its papers."""

import asyncio
from contextlib import suppress
import copy
from dataclasses import dataclass, field
import fcntl
import json
import os
from pathlib import Path
import shutil
import sys
from typing import IO, Any, Final, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, CookieJar

from script.house import config, goods, parts
from script.house.people import Json, Person, Refused
from script.house.phones import Exchange, Phone, register
from script.house.processes import Process, free_port
from script.house.waiting import until

ROOT: Final = Path(__file__).resolve().parents[2]
PORTS: Final = {"home_assistant": 8123, "brain": 8100, "phones": 8130}
START_LIMIT: Final = 180.0
# All that a house consists of, its lock aside.
_PARTS: Final = (
    "brain",
    "brain.log",
    "homeassistant",
    "homeassistant.log",
    "house.json",
    "journals",
)


class Occupied(RuntimeError):
    """Another process has this house running."""


@dataclass(slots=True)
class House:
    """Two processes and two people; a house that is started again is as it was left."""

    place: Path
    with_kitty: bool = True
    # The environment of Home Assistant; None is the one that we run in.
    environment: Path | None = None
    ports: dict[str, int] = field(default_factory=dict)
    papers: Json = field(default_factory=dict)
    _lock: IO[str] | None = None

    session: ClientSession = field(init=False)
    exchange: Exchange = field(init=False)
    brain: Process = field(init=False)
    hass: Process = field(init=False)
    demo: Person = field(init=False)
    anna: Person = field(init=False)

    @property
    def url(self) -> str:
        """Return the address of Home Assistant."""
        return f"http://127.0.0.1:{self.ports['home_assistant']}"

    @property
    def brain_url(self) -> str:
        """Return the address of the brain."""
        return f"http://127.0.0.1:{self.ports['brain']}"

    @property
    def brain_token(self) -> str:
        """Return the token that the brain made at its first start."""
        return (self.place / "brain" / "token").read_text("utf-8").strip()

    @property
    def entry_id(self) -> str:
        """Return the id of KITTY's config entry."""
        return str(self.papers["entry_id"])

    def phone(self, person: Person) -> Phone:
        """Return a person's phone."""
        return next(one for one in self.exchange.phones.values() if one.owner is person)

    # -- opening and closing --------------------------------------------------------------------------

    async def open(self, *, fresh: bool = False) -> Self:
        """Start everything and wait until it works; ``fresh`` forgets all that was."""
        self.place.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        papers = self.place / "house.json"
        # A house that was not finished is not repaired but built anew.
        if fresh or not papers.exists():
            for part in _PARTS:
                target = self.place / part
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        self.papers = json.loads(papers.read_text("utf-8")) if papers.exists() else {}
        wanted = self.papers.get("ports", PORTS)
        self.ports = {name: free_port(wanted[name]) for name in PORTS}
        self.session = ClientSession(
            timeout=ClientTimeout(total=60), cookie_jar=CookieJar(unsafe=True)
        )
        self.exchange = Exchange(self.session)
        self._prepare()
        try:
            await self.exchange.start(self.ports["phones"])
            await asyncio.gather(self.start_brain(), self._start_hass())
            if self.papers:
                await self._move_back_in()
            else:
                await self._move_in()
            self._write_papers()
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Stop everything, Home Assistant first, so that it can say goodbye to the brain."""
        await self._leave()
        await self.hass.stop()
        await self.brain.stop()
        await self.exchange.stop()
        await self.session.close()
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        self._lock = (self.place / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise Occupied(f"The house in {self.place} is running already") from err

    def _write_papers(self) -> None:
        self.papers["ports"] = self.ports
        path = self.place / "house.json"
        path.write_text(json.dumps(self.papers, indent=2), "utf-8")
        path.chmod(0o600)

    def _prepare(self) -> None:
        """Write the configuration and say how the processes are started."""
        home = self.place / "homeassistant"
        for folder in (home / "custom_components", home / "media", self.place / "journals"):
            folder.mkdir(parents=True, exist_ok=True)
        link = home / "custom_components" / "kitty"
        if not link.is_symlink():
            link.symlink_to(ROOT / "custom_components" / "kitty")
        text = config.CONFIGURATION.format(
            latitude=config.LATITUDE,
            longitude=config.LONGITUDE,
            media=json.dumps(str(home / "media")),
        )
        (home / "configuration.yaml").write_text(text, "utf-8")
        self._prepare_storage(home / ".storage")
        parts.write_parts(home / "media")
        network = self.place / "brain" / "models" / parts.NETWORK
        if not network.exists():
            parts.write_network(network)
        self.brain = Process(
            "The brain",
            [
                sys.executable,
                *("-m", "brain_server", "serve"),
                *("--data-dir", str(self.place / "brain")),
                *("--port", str(self.ports["brain"])),
                *("--energy-price", "0.31"),
                *("--machine-price", "0.25"),
            ],
            self.place / "brain.log",
        )
        self.hass = Process(
            "Home Assistant",
            [
                str((self.environment or Path(sys.prefix)) / "bin" / "hass"),
                *("--config", str(home)),
                # Everything that it needs is installed; were it not, this says so instead of hiding it.
                "--skip-pip",
            ],
            self.place / "homeassistant.log",
        )

    def _prepare_storage(self, storage: Path) -> None:
        """Write what Home Assistant would otherwise ask for, or take from the network."""
        storage.mkdir(exist_ok=True)
        listening = copy.deepcopy(config.LISTENING)
        listening["data"]["stable"]["server_port"] = self.ports["home_assistant"]
        (storage / "http").write_text(json.dumps(listening), "utf-8")
        # Only the owner is asked for: the other steps would set up what wants to be installed first.
        asked = storage / "onboarding"
        if not asked.exists():
            asked.write_text(json.dumps(config.ONBOARDING), "utf-8")

    # -- processes ------------------------------------------------------------------------------------

    async def start_brain(self) -> None:
        """Start the brain and wait until it answers."""
        await self.brain.start()
        await until(lambda: self._answers(self.brain, f"{self.brain_url}/health"), "Brain", 60)

    async def _start_hass(self) -> None:
        await self.hass.start()
        url = f"{self.url}/manifest.json"
        await until(lambda: self._answers(self.hass, url), "Home Assistant", START_LIMIT)

    async def restart_hass(self) -> None:
        """Stop Home Assistant in good order and start it again, with its people logged in."""
        await self._leave()
        await self.hass.stop()
        await self._start_hass()
        await self._log_in()

    async def _answers(self, process: Process, url: str) -> bool:
        process.require_alive()
        try:
            async with self.session.get(url, timeout=ClientTimeout(total=5)) as response:
                return response.ok
        except ClientError, TimeoutError:
            return False

    # -- people ---------------------------------------------------------------------------------------

    async def _log_in(self) -> None:
        """Log everybody in once Home Assistant has started all of its parts."""
        await self._leave()
        self.demo = Person(self.session, self.url, config.DEMO)
        await self.demo.log_in()

        async def running() -> bool:
            self.hass.require_alive()
            state: str = (await self.demo.rest("GET", "config"))["state"]
            return state == "RUNNING"

        await until(running, "Home Assistant has started", START_LIMIT)
        self.anna = Person(self.session, self.url, config.ANNA)
        await self.anna.log_in()
        for phone in self.exchange.phones.values():
            phone.owner = self.demo if phone.owner.account is config.DEMO else self.anna

    async def _leave(self) -> None:
        """Close what people have open: Home Assistant waits for it when it stops."""
        for name in ("demo", "anna"):
            with suppress(AttributeError):
                await getattr(self, name).close()

    async def _move_back_in(self) -> None:
        """Log in, and tell Home Assistant where brain and phones are now."""
        await self._log_in()
        await self._take_phones()
        if self.with_kitty and self.papers["ports"]["brain"] != self.ports["brain"]:
            answer = {"url": self.brain_url}
            await self.demo.flow("", "kitty", answer, entry_id=self.entry_id)
        if self.with_kitty:
            await self.kitty_ready()

    async def _move_in(self) -> None:
        """Do everything that a family does on its first day."""
        await self._onboard()
        await self._add_anna()
        await self._log_in()
        self.papers["phones"] = {
            one.account.username: await register(one) for one in (self.demo, self.anna)
        }
        await self._take_phones()
        await self._add_areas_and_persons()
        for entity_id in config.RAW_ENTITIES:
            await self.demo.ws(
                "config/entity_registry/update", entity_id=entity_id, hidden_by="user"
            )
        await self._expose(config.RAW_ENTITIES, expose=False)
        _require(await self.demo.flow("", "shopping_list", {}), "create_entry")
        if self.with_kitty:
            await self.add_kitty()
            await self.add_dashboard()
            # The history begins when all is in its place.
            await self.demo.call("recorder.purge", keep_days=0)

    async def _onboard(self) -> None:
        """Answer Home Assistant's first questions, as its owner does in a browser."""
        self.demo = Person(self.session, self.url, config.DEMO)
        owner = {
            "client_id": self.demo.client_id,
            "name": config.DEMO.name,
            "username": config.DEMO.username,
            "password": config.DEMO.password,
            "language": "en",
        }
        async with self.session.post(f"{self.url}/api/onboarding/users", json=owner) as response:
            response.raise_for_status()
            await self.demo.redeem((await response.json())["auth_code"])
        await self.demo.connect()

    async def _add_anna(self) -> None:
        """Add a second person, who is no administrator."""
        self.anna = Person(self.session, self.url, config.ANNA)
        made = await self.demo.ws(
            "config/auth/create", name=config.ANNA.name, group_ids=["system-users"]
        )
        await self.demo.ws(
            "config/auth_provider/homeassistant/create",
            user_id=made["user"]["id"],
            username=config.ANNA.username,
            password=config.ANNA.password,
        )

    async def _take_phones(self) -> None:
        """Give everybody their phone, and have it say that they are at home."""
        self.exchange.phones.clear()
        for person in (self.demo, self.anna):
            webhook_id = self.papers["phones"][person.account.username]
            phone = self.exchange.phones[webhook_id] = Phone(person, webhook_id)
            await phone.use_push(self.exchange.url)
            await phone.come_home(config.LATITUDE, config.LONGITUDE)

    async def _add_areas_and_persons(self) -> None:
        for area in await self.demo.ws("config/area_registry/list"):
            await self.demo.ws("config/area_registry/delete", area_id=area["area_id"])
        for name, icon in (("Workshop", "mdi:hammer-wrench"), ("Laser room", "mdi:laser-pointer")):
            await self.demo.ws("config/area_registry/create", name=name, icon=icon)
        for entity_id in config.LAMPS:
            await self.demo.ws(
                "config/entity_registry/update", entity_id=entity_id, area_id="workshop"
            )
        trackers = {
            one.account.username: f"device_tracker.{one.account.username}_s_phone"
            for one in (self.demo, self.anna)
        }
        known = (await self.demo.ws("person/list"))["storage"]
        for person in (self.demo, self.anna):
            about: Json = {
                "name": person.account.name,
                "user_id": person.user_id,
                "device_trackers": [trackers[person.account.username]],
            }
            mine = [one for one in known if one["user_id"] == person.user_id]
            if mine:
                await self.demo.ws("person/update", person_id=mine[0]["id"], **about)
            else:
                await self.demo.ws("person/create", **about)
        both = ("person.demo", "person.anna")
        await self.demo.until(
            lambda: all(self.demo.state(who) == "home" for who in both), "Both are at home"
        )

    async def _expose(self, entity_ids: tuple[str, ...], *, expose: bool) -> None:
        await self.demo.ws(
            "homeassistant/expose_entity",
            assistants=["conversation"],
            entity_ids=list(entity_ids),
            should_expose=expose,
        )

    # -- KITTY ----------------------------------------------------------------------------------------

    async def add_kitty(self) -> None:
        """Set KITTY up through its own forms: the brain, the devices, the rules, then Assist."""
        brain = {"url": self.brain_url, "token": self.brain_token}
        made = await self.demo.flow("", "kitty", {"next_step_id": "brain"}, brain)
        _require(made, "create_entry")
        await self.furnish(made["result"]["entry_id"])

    async def furnish(self, entry_id: str) -> None:
        """Add the devices and the rules to a KITTY that is set up, and make it the assistant."""
        self.papers["entry_id"] = entry_id
        for one in config.devices(str(self.place / "journals")):
            await until(self._kitty_loaded, "KITTY is loaded", 30)
            form = dict(one)
            driver = {"driver": form.pop("driver")}
            handler = [self.entry_id, "device"]
            _require(await self.demo.flow("subentries/", handler, driver, form), "create_entry")
        for answers in config.options(self.demo.user_id, self.anna.user_id):
            _require(await self.demo.flow("options/", self.entry_id, *answers), "create_entry")
        await self.kitty_ready()
        await self._expose((config.DOOR, config.CABINET, config.LASER), expose=True)
        await self._take_assist()
        await self._bring_a_print()
        await goods.fill(self)

    async def _bring_a_print(self) -> None:
        """Upload what there is to print by name."""
        await self.demo.ask(
            "kitty.upload_file",
            device_id=await self.device_id(config.PRINTER),
            path=str(self.place / "homeassistant" / "media" / "bracket.gcode"),
        )

    async def _kitty_loaded(self) -> bool:
        entries = await self.demo.ws("config_entries/get", domain="kitty")
        return any(one["state"] == "loaded" for one in entries)

    async def kitty_ready(self) -> None:
        """Wait until all of KITTY's devices are there and seen."""
        wanted = (config.DOOR, config.CABINET, config.LASER, config.PRINTER, config.MINI)
        # What was seen last may be of before: they go and come when KITTY is set up anew.
        await self.demo.caught_up()
        await self.demo.until(
            lambda: all(
                self.demo.state(one) not in {None, "unknown", "unavailable"} for one in wanted
            ),
            "KITTY's devices are there",
            60.0,
        )

    async def _take_assist(self) -> None:
        """Make KITTY the assistant of the house."""
        about: dict[str, Any] = {
            "name": "KITTY",
            "language": "en",
            "conversation_engine": await self.agent(),
            "conversation_language": "en",
            "prefer_local_intents": False,
        }
        nothing = ("stt_engine", "stt_language", "tts_engine", "tts_language", "tts_voice")
        about |= dict.fromkeys((*nothing, "wake_word_entity", "wake_word_id"))
        made = await self.demo.ws("assist_pipeline/pipeline/create", **about)
        await self.demo.ws("assist_pipeline/pipeline/set_preferred", pipeline_id=made["id"])

    async def agent(self) -> str:
        """Return KITTY's conversation entity."""
        entities = await self.demo.ws("config/entity_registry/list")
        ours = [str(one["entity_id"]) for one in entities if one["platform"] == "kitty"]
        return next(one for one in ours if one.startswith("conversation."))

    async def device_id(self, entity_id: str) -> str:
        """Return the registry's id of the device behind an entity."""
        entity = await self.demo.ws("config/entity_registry/get", entity_id=entity_id)
        return str(entity["device_id"])

    async def add_dashboard(self) -> None:
        """Make the dashboard of the demonstration, and show it first."""
        await self.demo.ws(
            "lovelace/dashboards/create",
            url_path=config.DASHBOARD,
            title="Workshop",
            icon="mdi:hammer-wrench",
            mode="storage",
        )
        await self.demo.ws(
            "lovelace/config/save", url_path=config.DASHBOARD, config=config.dashboard()
        )
        await self.demo.ws(
            "frontend/set_system_data", key="core", value={"default_panel": config.DASHBOARD}
        )


def _require(shown: Json, kind: str) -> None:
    if shown["type"] != kind:
        raise Refused("flow", f"Expected {kind}, not {json.dumps(shown, default=str)[:600]}")


def default_place() -> Path:
    """Return where the house stands unless somebody says otherwise."""
    return Path(os.environ.get("KITTY_HOUSE", ROOT / ".cache" / "house"))
