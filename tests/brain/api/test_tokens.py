"""Tokens: four scopes, one text that is shown once, an end that is an end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from brain_server.api import auth
from brain_server.api.auth import (
    LOOK_AGAIN,
    REVOKED,
    ROTATION_OVERLAP,
    NewToken,
    TokenId,
    Tokens,
)
from brain_server.app import Brain
from brain_server.commands import SYSTEM, Caller, NoParams, Page, Scope
from brain_server.errors import Conflict, NotFound, Unauthorized, Unavailable
from brain_server.storage import Database, tables
from tests.brain.gatehouse import NOW, Clock, busy
from tests.brain.home import TOKEN, Home, Later, Rest, Socket, at_home, running, until
from tests.brain.soon import SOON

SCOPES = ["read", "control", "admin", "integration"]


# What is not for everybody who may read.
PROMISED = {
    Scope.CONTROL: {
        "devices.request",
        "commands.settle",
        "safety.withdraw",
        "conversation.process",
        "conversation.list",
        "conversation.get",
        "conversation.invite",
        "conversation.leave",
        "runs.cancel",
        "generate.text",
        "generate.data",
        "generate.image",
        "memory.status",
        "memory.enable",
        "memory.remember",
        "memory.list",
        "memory.search",
        "memory.forget",
        "memory.export",
        "cache.clear",
        "providers.check",
        "providers.warm",
        "printers.cleared",
        "procurements.decide",
        "queue.add",
        "queue.cancel",
        "queue.change",
        "queue.hold",
        "queue.release",
        "reviews.put",
        "spoolman.sync",
        "spools.archive",
        "spools.load",
        "spools.put",
        "spools.use",
        "stock.limit",
        "vision.answer",
        "schedule.run",
        "work.cancel",
        "work.retry",
        "notifications.send",
        "events.publish",
        "goals.add",
        "goals.decide",
        "projects.cancel",
        "tasks.answer",
        "research.start",
        "research.cancel",
    },
    Scope.ADMIN: {
        "audit.list",
        "tokens.list",
        "tokens.create",
        "tokens.revoke",
        "conversation.messages",
        "budget.set_limits",
        "privacy.set",
        "providers.put",
        "providers.remove",
        "providers.advise",
        "memory.rebuild",
        "files.remove",
        "vision.configure",
        "schedule.change",
        "capabilities.set",
        "channels.list",
        "channels.put",
        "channels.remove",
        "channels.test",
        "system.support",
    },
    Scope.INTEGRATION: {
        "integration.register",
        "devices.probe",
        "notifications.answer",
        "devices.put",
        "devices.remove",
        "devices.observe",
        "safety.decide",
        "safety.attempt",
        "safety.pin",
        "safety.pin_reset",
        "safety.sync",
        "safety.presence",
        "safety.presences",
        "safety.check",
        "audit.anchor",
        "audit.note",
        "telemetry.ingest",
        "energy.observe",
        "energy.prices",
        "prints.report",
    },
}


async def may(socket: Socket, action: str) -> bool:
    """Tell whether a token gets past the question of scope; its parameters are always wrong."""
    return await socket.refusal(action, {"nonsense": True}) != "scope_required"


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_opens_its_commands_and_no_others(home: Home, scope: str) -> None:
    """Each includes those before it, for every command that there is."""
    commands = home.brain.dispatcher.commands
    expected = {name for name, spec in commands.items() if spec.scope <= Scope[scope.upper()]}
    async with Socket(home.brain, await home.token(scope)) as socket:
        assert {name for name in commands if await may(socket, name)} == expected


def test_what_may_be_done_with_which_scope_is_what_was_promised(brain: Brain) -> None:
    """A change of a command's scope is a decision, and shows here."""
    found: dict[Scope, set[str]] = {scope: set() for scope in PROMISED}
    for name, spec in brain.dispatcher.commands.items():
        if spec.scope in found:
            found[spec.scope].add(name)
    assert found == PROMISED


@pytest.mark.parametrize(
    ("scope", "wanted", "made"),
    [
        ("admin", "read", True),
        ("admin", "admin", True),
        ("admin", "integration", False),
        ("integration", "integration", True),
    ],
)
async def test_nobody_makes_a_token_that_may_more(
    home: Home, scope: str, wanted: str, made: bool
) -> None:
    """Who may not speak for people cannot make a token that may."""
    async with Rest(home.brain, await home.token(scope)) as rest:
        answer = await rest.act("tokens.create", {"name": "new", "scope": wanted})
    assert (answer.status == 200) is made


@pytest.mark.parametrize("name", ["", "Two Words", "-", "ä", "x" * 65, "a\nb", "../x", 7, None])
async def test_a_token_needs_a_plain_name(home: Home, name: object) -> None:
    """Names go into logs and file names."""
    asked = {"name": name, "scope": "read"}
    assert await home.refusal("tokens.create", asked) == "invalid_params"


async def test_a_replaced_token_works_for_an_hour_beside_the_new_one(
    home: Home, clock: Later
) -> None:
    """Then only the new one does."""
    old = await home.token("read")
    async with Rest(home.brain, old) as before:
        new = (await before.act("tokens.rotate")).data["token"]
        async with Rest(home.brain, new) as after:
            clock.ahead = ROTATION_OVERLAP - 10
            both = [(await one.get("/api/v1/system.info")).status for one in (before, after)]
            clock.ahead = ROTATION_OVERLAP + 10
            then = [(await one.get("/api/v1/system.info")).status for one in (before, after)]
    assert (both, then) == ([200, 200], [401, 200])


async def test_a_new_token_may_what_the_old_one_did(home: Home) -> None:
    """Rotation changes the text and nothing else."""
    async with Rest(home.brain, await home.token("control")) as rest:
        made = (await rest.act("tokens.rotate")).data["id"]
    items = (await home.command("tokens.list"))["items"]
    (found,) = [item for item in items if item["id"] == made]
    assert (found["name"], found["scope"], found["expires_at"]) == (
        "a-control-one",
        "control",
        None,
    )


async def test_a_token_that_was_replaced_cannot_make_itself_live_on(
    home: Home, clock: Later
) -> None:
    """A thief who has the old text does not get a new one for it."""
    old = await home.token("read")
    async with Rest(home.brain, old) as rest:
        await rest.act("tokens.rotate")
        clock.ahead = ROTATION_OVERLAP - 10
        again = await rest.act("tokens.rotate")
        clock.ahead = ROTATION_OVERLAP + 10
        dead = await rest.act("tokens.rotate")
    assert (again.status, again.code) == (409, "already_rotated")
    assert dead.status == 401


async def test_a_revoked_token_is_dead_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """Neither this life nor the next knows it."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        made = await home.command("tokens.create", {"name": "guest", "scope": "read"})
        await home.command("tokens.revoke", {"token_id": made["id"]})
        async with Rest(brain, made["token"]) as rest:
            assert (await rest.get("/api/v1/system.info")).status == 401
    async with running(tmp_path, life=2) as brain, Rest(brain, made["token"]) as rest:
        assert (await rest.get("/api/v1/system.info")).status == 401


async def test_tokens_and_their_ends_outlive_a_restart(tmp_path: Path, clock: Later) -> None:
    """A replaced token ends when it should, however often the brain restarts."""
    async with running(tmp_path, clock) as brain, at_home(brain) as home:
        old = await home.token("read")
        async with Rest(brain, old) as rest:
            new = (await rest.act("tokens.rotate")).data["token"]
    statuses = []
    async with running(tmp_path, clock, life=2) as brain:
        for clock.ahead in (0, ROTATION_OVERLAP + 10):
            for token in (old, new):
                async with Rest(brain, token) as rest:
                    statuses.append((await rest.get("/api/v1/system.info")).status)
    assert statuses == [200, 200, 401, 200]


async def test_home_assistant_cannot_be_locked_out(home: Home, clock: Later) -> None:
    """The last token that speaks for people stays; one whose time is over does not count."""
    (own,) = (await home.command("tokens.list"))["items"]
    assert await home.refusal("tokens.revoke", {"token_id": own["id"]}) == "last_token"
    new = await home.command("tokens.rotate")
    clock.ahead = ROTATION_OVERLAP + 10
    async with Rest(home.brain, new["token"]) as rest:
        answer = await rest.act("tokens.revoke", {"token_id": new["id"]})
    assert (answer.status, answer.code) == (400, "last_token")


def until_stored(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Hold the next thing that is stored; returns what lets it go on."""
    database, go = brain.brain_db, asyncio.Event()
    write = database.write

    async def late(work: Any) -> Any:
        monkeypatch.setattr(database, "write", write)
        await go.wait()
        return await write(work)

    monkeypatch.setattr(database, "write", late)
    return go.set


async def row_of(brain: Brain, token_id: str) -> Any:
    """Return a token as it is stored."""
    query = select(tables.tokens).where(tables.tokens.c.id == token_id)
    return await brain.brain_db.read(lambda connection: connection.execute(query).one())


async def test_a_token_that_is_revoked_while_it_is_replaced_does_not_live_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither itself, after a restart, nor in the one that was to take its place."""
    brain, tokens = home.brain, home.brain.tokens
    made = await tokens.create(SYSTEM, NewToken(name="guest", scope="read"))
    before = await tokens.list(SYSTEM, Page())
    guest = Caller(token=made["id"], scope=Scope.READ)
    go_on = until_stored(brain, monkeypatch)
    replacing = brain.tasks.start("replacing", tokens.rotate(guest, NoParams()))
    await until(lambda: brain.brain_db.write.__name__ == "write", "that it is being stored")
    await tokens.revoke(SYSTEM, TokenId(token_id=made["id"]))
    go_on()
    with pytest.raises(Conflict) as caught:
        await replacing
    assert caught.value.code == "already_rotated"
    assert (await row_of(brain, made["id"])).expires_at == REVOKED
    items = (await tokens.list(SYSTEM, Page()))["items"]
    assert items == [one for one in before["items"] if one["id"] != made["id"]]


async def test_a_token_is_replaced_once_though_two_ask_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the two may be a thief; the other hears that somebody was faster."""
    brain, tokens = home.brain, home.brain.tokens
    made = await tokens.create(SYSTEM, NewToken(name="guest", scope="read"))
    guest = Caller(token=made["id"], scope=Scope.READ)
    go_on = until_stored(brain, monkeypatch)
    late = brain.tasks.start("replacing", tokens.rotate(guest, NoParams()))
    await until(lambda: brain.brain_db.write.__name__ == "write", "that it is being stored")
    new = await tokens.rotate(guest, NoParams())
    go_on()
    with pytest.raises(Conflict):
        await late
    names = [one["id"] for one in (await tokens.list(SYSTEM, Page()))["items"]]
    assert set(names) >= {made["id"], new["id"]}
    assert len(names) == 3


async def test_a_token_that_was_revoked_before_its_turn_came_is_not_replaced(home: Home) -> None:
    """Its caller was let in, and is told what anybody hears who has no token."""
    tokens = home.brain.tokens
    made = await tokens.create(SYSTEM, NewToken(name="guest", scope="read"))
    guest = Caller(token=made["id"], scope=Scope.READ)
    await tokens.revoke(SYSTEM, TokenId(token_id=made["id"]))
    spec = home.brain.dispatcher.spec("tokens.rotate")
    with pytest.raises(Unauthorized) as caught:
        await home.brain.dispatcher.run(spec, guest, {})
    assert caught.value.code == "invalid_token"


async def test_a_token_that_is_revoked_before_its_maker_hears_of_it_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stored, found by a look, and ended, all before the one who made it went on."""
    async with running(tmp_path, Clock()) as brain:
        tokens, write = brain.tokens, brain.brain_db.write
        stored, go = asyncio.Event(), asyncio.Event()

        async def late(work: Any) -> Any:
            done = await write(work)
            stored.set()
            await go.wait()
            return done

        with monkeypatch.context() as patched:
            patched.setattr(brain.brain_db, "write", late)
            making = brain.tasks.start(
                "making", tokens.create(SYSTEM, NewToken(name="guest", scope="read"))
            )
            await stored.wait()
        brain.clock.advance(LOOK_AGAIN)
        await tokens.look_up("Bearer wrong")
        (found,) = [
            one for one in (await tokens.list(SYSTEM, Page()))["items"] if one["name"] == "guest"
        ]
        await tokens.revoke(SYSTEM, TokenId(token_id=found["id"]))
        go.set()
        made = await making
        assert made["id"] == found["id"]
        assert not tokens.alive(made["id"])
        assert await status_of(brain, made["token"]) == 401


async def test_a_token_whose_end_could_not_be_stored_can_be_revoked_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dead in this life already, and would be back in the next."""
    brain, tokens = home.brain, home.brain.tokens
    made = await tokens.create(SYSTEM, NewToken(name="guest", scope="read"))
    ended = TokenId(token_id=made["id"])

    async def busy_now(_work: Any) -> Any:
        raise Unavailable("database_busy", "Not now")

    with monkeypatch.context() as patched:
        patched.setattr(brain.brain_db, "write", busy_now)
        with pytest.raises(Unavailable):
            await tokens.revoke(SYSTEM, ended)
    assert not tokens.alive(made["id"])
    await tokens.revoke(SYSTEM, ended)
    assert (await row_of(brain, made["id"])).expires_at == REVOKED
    with pytest.raises(NotFound):
        await tokens.revoke(SYSTEM, ended)


async def test_a_token_that_is_not_there_cannot_be_revoked(home: Home) -> None:
    """A typing error is told."""
    assert await home.refusal("tokens.revoke", {"token_id": "none"}) == "token_not_found"


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_the_text_of_a_token_is_never_stored(tmp_path: Path) -> None:
    """Not in the databases, not in their logs, not in any other file but the one for it."""
    async with running(tmp_path, token="") as brain:
        first = (tmp_path / "token").read_text("ascii").strip()
        async with Rest(brain, first) as rest:
            made = (await rest.act("tokens.create", {"name": "new", "scope": "read"})).data["token"]
            rotated = (await rest.act("tokens.rotate")).data["token"]
            listed = (await rest.get("/api/v1/tokens.list")).body
        assert [token.encode() in listed for token in (first, made, rotated)] == [False] * 3
        held = everything_in(tmp_path)
    for token in (first, made, rotated):
        assert {name for name, raw in held.items() if token.encode() in raw} <= {"token"}
    assert held["token"] == f"{first}\n".encode()


async def test_the_first_token_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """A restart does not make another."""
    async with running(tmp_path, token="") as brain:
        path = tmp_path / "token"
        text, mode = path.read_text("ascii").strip(), path.stat().st_mode & 0o777
        async with Rest(brain, text) as rest:
            assert (await rest.get("/api/v1/system.info")).status == 200
    async with running(tmp_path, token="", life=2) as brain:
        assert path.read_text("ascii").strip() == text
    assert mode == 0o600
    assert len(text) >= 43


async def test_a_token_that_a_person_chose_is_the_first_one(tmp_path: Path) -> None:
    """No file is written for it."""
    async with running(tmp_path) as brain, Rest(brain, TOKEN) as rest:
        (item,) = (await rest.get("/api/v1/tokens.list")).data["items"]
    assert (item["name"], item["scope"]) == ("first", "integration")
    assert not (tmp_path / "token").exists()


# -- the token that a person chose --------------------------------------------------------------------


async def status_of(brain: Brain, token: str) -> int:
    """Return what a question with this token is answered with."""
    async with Rest(brain, token) as rest:
        return (await rest.get("/api/v1/system.info")).status


async def test_another_chosen_token_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Whoever changes the setting wants the old text to be worth nothing."""
    for life, chosen in enumerate(("one", "two", "one"), 1):
        async with running(tmp_path, token=chosen, life=life) as brain:
            found = {text: await status_of(brain, text) for text in ("one", "two")}
            assert found == {"one": 401, "two": 401} | {chosen: 200}


async def test_without_a_chosen_token_the_last_one_stays(tmp_path: Path) -> None:
    """An emptied setting locks nobody out."""
    async with running(tmp_path, token="one"):
        pass
    async with running(tmp_path, token="", life=2) as brain:
        assert await status_of(brain, "one") == 200
    assert not (tmp_path / "token").exists()


async def test_a_chosen_token_that_was_revoked_stays_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The setting still names it, but the person who revoked it meant it; the log says why."""
    async with running(tmp_path, token="one") as brain, Rest(brain, "one") as rest:
        other = (await rest.act("tokens.create", {"name": "ha", "scope": "integration"})).data
        (first,) = [
            item
            for item in (await rest.get("/api/v1/tokens.list")).data["items"]
            if item["name"] == "first"
        ]
        await rest.act("tokens.revoke", {"token_id": first["id"]})
    for life in (2, 3):
        async with running(tmp_path, token="one", life=life) as brain:
            assert await status_of(brain, "one") == 401
            assert await status_of(brain, other["token"]) == 200
    assert "was revoked and stays so" in caplog.text
    async with running(tmp_path, token="two", life=4) as brain:
        assert [await status_of(brain, text) for text in ("one", "two")] == [401, 200]


async def test_the_token_that_was_made_up_can_be_chosen_later(tmp_path: Path) -> None:
    """It stays the same token, and ends like any other that was chosen."""
    async with running(tmp_path, token="") as brain:
        made = (tmp_path / "token").read_text("ascii").strip()
    async with running(tmp_path, token=made, life=2) as brain, Rest(brain, made) as rest:
        assert len((await rest.get("/api/v1/tokens.list")).data["items"]) == 1
    async with running(tmp_path, token="two", life=3) as brain:
        assert [await status_of(brain, text) for text in (made, "two")] == [401, 200]


# -- tokens of the command line -----------------------------------------------------------------------


async def command_line(brain: Brain) -> str:
    """Make a token as another process does, and return its text."""
    url = str(brain.brain_db.url)
    database = Database(url, tables.brain, name="brain", durable=False)
    await database.open()
    try:
        tokens = Tokens(database, brain.clock, rate=1, burst=1)
        made = await tokens.create(SYSTEM, NewToken(name="cli", scope="read"))
    finally:
        await database.close()
    return str(made["token"])


async def test_a_token_of_the_command_line_works_at_once(tmp_path: Path) -> None:
    """The brain looks again when it is shown one that it does not know."""
    async with running(tmp_path, Clock()) as brain:
        brain.clock.advance(LOOK_AGAIN)
        assert await status_of(brain, await command_line(brain)) == 200


async def test_two_who_show_a_token_of_the_command_line_at_once_are_both_let_in(
    tmp_path: Path,
) -> None:
    """The second waits for what the look of the first finds."""
    async with running(tmp_path, Clock()) as brain:
        brain.clock.advance(LOOK_AGAIN)
        header = f"Bearer {await command_line(brain)}"

        async def come() -> Caller:
            await brain.tokens.look_up(header)
            return brain.tokens.caller(header)

        assert {one.name for one in await asyncio.gather(come(), come())} == {"cli"}


async def test_a_socket_opens_with_a_token_of_the_command_line(tmp_path: Path) -> None:
    """The same on the other road."""
    async with running(tmp_path, Clock()) as brain:
        brain.clock.advance(LOOK_AGAIN)
        async with Socket(brain, await command_line(brain)) as socket:
            assert (await socket.command("system.info"))["scope"] == "read"


async def test_wrong_tokens_do_not_make_the_database_be_read_each_time(tmp_path: Path) -> None:
    """Within a second of the last look a new one is not found; then it is, in either direction of time."""
    async with running(tmp_path, Clock()) as brain:
        for seconds in (LOOK_AGAIN, -LOOK_AGAIN):
            brain.clock.advance(seconds)
            assert await status_of(brain, "wrong") == 401
            made = await command_line(brain)
            found = [await status_of(brain, made)]
            brain.clock.advance(seconds)
            found.append(await status_of(brain, made))
            assert found == [401, 200]


async def test_a_look_does_not_bring_a_revoked_token_back(tmp_path: Path) -> None:
    """Its row is still there, and means that it has ended."""
    async with running(tmp_path, Clock()) as brain, Rest(brain) as rest:
        made = (await rest.act("tokens.create", {"name": "guest", "scope": "read"})).data
        await rest.act("tokens.revoke", {"token_id": made["id"]})
        brain.clock.advance(LOOK_AGAIN)
        assert await status_of(brain, made["token"]) == 401
        listed = (await rest.get("/api/v1/tokens.list")).data["items"]
    assert [item["name"] for item in listed] == ["first"]


# -- when they were used ------------------------------------------------------------------------------


async def test_when_a_token_was_last_used_outlives_a_restart(tmp_path: Path) -> None:
    """It is stored when the brain stops, at the latest."""
    clock = Clock()
    async with running(tmp_path, clock) as brain:
        assert await status_of(brain, TOKEN) == 200
    clock.advance(3600)
    async with running(tmp_path, clock, life=2) as brain:
        (item,) = (await brain.tokens.list(SYSTEM, Page()))["items"]
    assert item["last_used"] == NOW


async def stored(brain: Brain) -> list[float | None]:
    """Return when the tokens were used, as the database has it."""
    query = select(tables.tokens.c.last_used)
    return await brain.brain_db.read(lambda connection: [*connection.execute(query).scalars()])


async def test_uses_are_stored_now_and_then_without_a_request_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when a token is used, but a little later."""
    monkeypatch.setattr(auth, "NOTE_USES_EVERY", 0.05)
    async with running(tmp_path, Clock()) as brain:
        for _ in range(2):
            brain.clock.advance(5)
            await status_of(brain, TOKEN)
            async with asyncio.timeout(SOON):
                while await stored(brain) != [brain.clock()]:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_what_cannot_be_stored_now_is_stored_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy database loses no use and breaks nothing."""
    async with running(tmp_path, Clock()) as brain:
        await status_of(brain, TOKEN)
        with busy(str(brain.brain_db.url)):
            await brain.tokens.note_uses()
        assert "is not stored: database_busy" in caplog.text
        await brain.tokens.note_uses()
        assert await stored(brain) == [NOW]
