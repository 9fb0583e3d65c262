"""REST: one envelope for every answer, one form for every error, an id on each."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
import io
from pathlib import Path
import tracemalloc
import uuid

from aiohttp.test_utils import make_mocked_request
import pytest

from brain_server.api.rest import GZIP_ABOVE, _compressed
from brain_server.app import Brain
from brain_server.observability import counters
from brain_server.protocol import MAX_FRAME_BYTES
from tests.brain.home import Answered, Home, Rest, running, until
from tests.brain.stage import near
from tests.standins.tiny_gguf import tiny_gguf

GETS = {
    "system.info": "",
    "system.health": "",
    "system.diagnose": "",
    "system.times": "",
    "drivers.list": "",
    "devices.list": "",
    "commands.list": "",
    "safety.events": "",
    "safety.users": "",
    "safety.zones": "",
    "safety.policies": "",
    "safety.checks": "",
    "audit.list": "",
    "audit.verify": "",
    "jobs.list": "",
    "tokens.list": "",
    "telemetry.list": "?device_id={device}",
    "devices.get": "?device_id={device}",
    "commands.get": "?command_id={command}",
    "conversation.messages": "?conversation_id=c",
    "conversation.list": "",
    "decisions.list": "",
    "decisions.figures": "?starts=0,86400",
    "decisions.summary": "?conversation_id=c",
    "spending.list": "",
    "spending.summary": "?days=7",
    "budget.status": "",
    "privacy.get": "",
    "providers.kinds": "",
    "providers.list": "",
    "providers.advise": "?model={model}",
    "cache.status": "",
    "runs.list": "",
    "relations.query": "",
    "relations.worker": "?use=tools",
    "files.list": "",
    "queue.list": "",
    "spools.list": "",
    "stock.list": "",
    "procurements.list": "",
    "inventory.usage": "",
    "inventory.export": "?what=spools&format=json",
    "jobs.export": "?format=csv",
    "reviews.list": "",
    "quality.list": "",
    "advice.list": "",
    "predictions.get": "?device_id={device}",
    "prints.events": "?job_id=j",
    "vision.list": "",
    "incidents.list": "",
    "schedule.list": "",
    "work.list": "",
    "capabilities.list": "",
    "channels.list": "",
    "notifications.list": "",
    "outbox.read": "",
    "goals.list": "",
    "projects.list": "",
    "tasks.list": "",
    "outcomes.list": "",
    "research.list": "",
}
# What they tell of is not there.
OF_ONE = {
    "files.get": ("artifact_id", "file_not_found"),
    "jobs.get": ("job_id", "job_not_found"),
    "reviews.picture": ("job_id", "no_evidence"),
    "costs.get": ("job_id", "job_not_found"),
    "work.get": ("work_id", "work_not_found"),
    "projects.get": ("project_id", "project_not_found"),
    "research.get": ("research_id", "research_not_found"),
    "safety.event": ("event_id", "event_not_found"),
}
# A token is nobody's memory: these are for people, whom Home Assistant vouches for.
PERSONAL = {"memory.status", "memory.list", "memory.export", "memory.search", "conversation.get"}
# Refused until a person switches it on.
SWITCHED = {"system.support"}
METADATA = {"request_id", "processing_time_ms", "timestamp"}
PROBLEM = {"type", "title", "status", "detail", "instance", "code", "correlation_id"}


async def furnished(home: Home) -> dict[str, str]:
    """Add a model, its file, and a lamp that was switched on; returns what they are called."""
    await near(home)
    models = home.brain.settings.data_dir / "models"
    await asyncio.to_thread(models.mkdir)
    file = await asyncio.to_thread(tiny_gguf, models)
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    done = await home.request(lamp.context.device_id, "light_on", wait=5)
    return {
        "device": lamp.context.device_id,
        "command": done["command"]["id"],
        "model": file.name,
    }


def assert_enveloped(answer: Answered) -> None:
    """Check the form of a success."""
    assert answer.json.keys() == {"status", "data", "metadata"}
    assert answer.json["status"] == "success"
    assert answer.json["metadata"].keys() == METADATA
    assert answer.json["metadata"]["processing_time_ms"] >= 0


async def test_every_reading_command_is_a_route_with_the_envelope(home: Home, rest: Rest) -> None:
    """The same commands as on the WebSocket, each under its own address."""
    ids = await furnished(home)
    reading = {name for name, spec in home.brain.dispatcher.commands.items() if spec.read_only}
    assert reading == set(GETS) | set(OF_ONE) | PERSONAL | SWITCHED
    for action, query in GETS.items():
        answer = await rest.get(f"/api/v1/{action}{query.format(**ids)}")
        assert (action, answer.status) == (action, 200)
        assert_enveloped(answer)


@pytest.mark.parametrize("action", OF_ONE)
async def test_what_is_not_there_is_not_found(rest: Rest, action: str) -> None:
    """Each says so by its own code."""
    name, code = OF_ONE[action]
    answer = await rest.get(f"/api/v1/{action}?{name}={'0' * 32}")
    assert (answer.status, answer.code) == (404, code)


async def test_every_command_runs_over_the_one_route_for_actions(home: Home, rest: Rest) -> None:
    """An action gives what the WebSocket gives."""
    ids = await furnished(home)
    for action in GETS:
        params = {"device_id": ids["device"], "command_id": ids["command"], "conversation_id": "c"}
        params |= {
            "model": ids["model"],
            "query": "q",
            "use": "tools",
            "job_id": "j",
            "starts": [0],
        }
        wanted = home.brain.dispatcher.commands[action].params.__struct_fields__
        needed = {name: value for name, value in params.items() if name in wanted}
        answer = await rest.act(action, needed)
        assert (action, answer.status) == (action, 200)
        assert_enveloped(answer)


@pytest.mark.parametrize("action", sorted(PERSONAL))
async def test_what_a_person_told_is_not_for_programs(rest: Rest, action: str) -> None:
    """Over REST nobody speaks for a person."""
    query = {"memory.search": "?query=q", "conversation.get": "?conversation_id=c"}
    answer = await rest.get(f"/api/v1/{action}{query.get(action, '')}")
    assert (answer.status, answer.code) == (403, "person_needed")


async def test_a_request_that_people_must_decide_is_accepted_with_an_id(
    home: Home, rest: Rest
) -> None:
    """202 means: there is an id under which the end can be read."""
    door = await home.puppet("door", "door")
    door.shows = {"locked": False}
    asked = {"device_id": door.context.device_id, "intent": "unlock"}
    answer = await rest.act("devices.request", asked)
    assert answer.status == 202
    await home.decide(answer.data["event"], "bob")
    await home.ended(answer.data["command"]["id"])
    found = await rest.get(f"/api/v1/commands.get?command_id={answer.data['command']['id']}")
    assert found.data["status"] == "acked"


async def test_a_request_that_is_over_is_answered_with_its_end(home: Home, rest: Rest) -> None:
    """200 means: it is done."""
    ids = await furnished(home)
    asked = {"device_id": ids["device"], "intent": "light_on", "wait": 5}
    answer = await rest.act("devices.request", asked)
    assert (answer.status, answer.data["command"]["status"]) == (200, "acked")


async def test_a_reading_command_needs_no_body_and_a_writing_one_has_no_address(rest: Rest) -> None:
    """What changes something is never a GET."""
    answer = await rest.get("/api/v1/devices.remove?device_id=x")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("version", [1, "1", None])
async def test_the_version_that_is_spoken_is_accepted(rest: Rest, version: object) -> None:
    """As a number, as text, or not named."""
    answer = await rest.act("system.info", body={"metadata": {"version": version or 1}})
    assert answer.status == 200


@pytest.mark.parametrize("version", [0, 2, "2", "1.0", True, [], {}, None])
async def test_another_version_is_a_conflict(rest: Rest, version: object) -> None:
    """The caller learns it before anything happens."""
    answer = await rest.act("system.info", body={"metadata": {"version": version}})
    assert (answer.status, answer.code) == (409, "version_mismatch")


# -- errors -------------------------------------------------------------------------------------------

type Provoke = Callable[[Home, Rest, dict[str, str]], Awaitable[Answered]]


async def _bad_json(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.call("POST", "/api/v1/actions", data=b"{", headers=headers)


async def _bad_params(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.get("/api/v1/devices.list?limit=1001", headers=headers)


async def _unknown_action(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.act("doors.blow_up", headers=headers)


async def _no_token(home: Home, _rest: Rest, headers: dict[str, str]) -> Answered:
    async with Rest(home.brain, None) as stranger:
        return await stranger.get("/api/v1/devices.list", headers=headers)


async def _small_scope(home: Home, _rest: Rest, headers: dict[str, str]) -> Answered:
    async with Rest(home.brain, await home.token("read")) as reader:
        return await reader.act("tokens.list", headers=headers)


async def _no_route(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.get("/nowhere", headers=headers)


async def _no_device(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.get("/api/v1/devices.get?device_id=x", headers=headers)


async def _no_method(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.call("DELETE", "/api/v1/actions", headers=headers)


async def _version(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    return await rest.act("system.info", body={"metadata": {"version": 2}}, headers=headers)


async def _too_large(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    large = io.BytesIO(bytes(MAX_FRAME_BYTES + 1))
    return await rest.call("POST", "/api/v1/actions", data=large, headers=headers)


async def _too_many(home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    home.brain.tokens._rate = 0.0
    answers = [await rest.get("/api/v1/system.info", headers=headers) for _ in range(201)]
    return answers[-1]


async def _broken(home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    lamp = await home.puppet("lamp", "light")
    lamp.reading = RuntimeError("a wire is loose")
    asked = {"device_id": lamp.context.device_id}
    return await rest.act("devices.files", asked, headers=headers)


async def _unreachable(_home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    asked = {"driver": "puppet", "options": {"external_id": "absent", "kind": "light"}}
    return await rest.act("devices.probe", asked, headers=headers)


async def _shutting_down(home: Home, rest: Rest, headers: dict[str, str]) -> Answered:
    home.brain.dispatcher.draining = True
    return await rest.get("/api/v1/system.info", headers=headers)


PROVOKED = {
    "bad JSON": (_bad_json, 400, "invalid_json"),
    "bad parameters": (_bad_params, 400, "invalid_params"),
    "unknown action": (_unknown_action, 400, "unknown_action"),
    "no token": (_no_token, 401, "invalid_token"),
    "small scope": (_small_scope, 403, "scope_required"),
    "no route": (_no_route, 404, "not_found"),
    "no device": (_no_device, 404, "device_not_found"),
    "no such method": (_no_method, 405, "method_not_allowed"),
    "another version": (_version, 409, "version_mismatch"),
    "too large": (_too_large, 413, "too_large"),
    "too many": (_too_many, 429, "rate_limited"),
    "broken inside": (_broken, 500, "internal"),
    "device unreachable": (_unreachable, 502, "cannot_connect"),
    "shutting down": (_shutting_down, 503, "shutting_down"),
}


@pytest.mark.parametrize(("provoke", "status", "code"), PROVOKED.values(), ids=PROVOKED)
async def test_every_error_has_the_same_form_and_the_callers_id(
    home: Home, rest: Rest, provoke: Provoke, status: int, code: str
) -> None:
    """Code, message, details and the id that was given, in body and headers."""
    answer = await provoke(home, rest, {"X-Correlation-ID": "trace-7"})
    error = answer.json["error"]
    assert (answer.status, answer.type) == (status, "application/json")
    assert answer.json.keys() == {"status", "error", "metadata"}
    assert answer.json["status"] == "error"
    assert error.keys() == {"code", "message", "details", "trace_id"}
    assert (error["code"], error["trace_id"]) == (code, "trace-7")
    assert answer.json["metadata"].keys() == METADATA
    assert answer.headers["X-Correlation-ID"] == answer.headers["X-Request-ID"] == "trace-7"


@pytest.mark.parametrize(("provoke", "status", "code"), PROVOKED.values(), ids=PROVOKED)
async def test_every_error_is_a_problem_document_for_who_asks_for_one(
    home: Home, rest: Rest, provoke: Provoke, status: int, code: str
) -> None:
    """RFC 9457, with the same code and id."""
    answer = await provoke(home, rest, {"Accept": "application/problem+json"})
    assert (answer.status, answer.type) == (status, "application/problem+json")
    assert answer.json.keys() == PROBLEM
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert answer.json["type"] == f"urn:kitty:error:{code}"
    assert answer.json["instance"].startswith("/")
    assert answer.json["correlation_id"] == answer.headers["X-Correlation-ID"]


async def test_an_error_inside_tells_the_caller_nothing_of_the_inside(
    home: Home, rest: Rest
) -> None:
    """The log has the reason; the caller has the id to find it."""
    answer = await _broken(home, rest, {})
    assert b"wire" not in answer.body
    assert b"Traceback" not in answer.body


async def test_errors_say_what_http_wants_them_to_say(home: Home, rest: Rest) -> None:
    """Which methods there are, how to come in, when to come back."""
    refused = await _no_method(home, rest, {})
    assert "POST" in refused.headers["Allow"].split(",")
    assert (await _no_token(home, rest, {})).headers["WWW-Authenticate"] == "Bearer"
    assert (await _shutting_down(home, rest, {})).headers["Retry-After"] == "1"


async def test_a_body_that_is_no_object_is_refused(rest: Rest) -> None:
    """A list is JSON, but not a request."""
    for body in (b"[]", b"7", b"null", b'"text"', b""):
        answer = await rest.call("POST", "/api/v1/actions", data=body)
        assert (answer.status, answer.code) == (400, "invalid_json")


@pytest.mark.parametrize("given", ["", "x" * 65, "two\twords", "\u200b"])
async def test_an_id_that_cannot_be_one_is_replaced(rest: Rest, given: str) -> None:
    """Every answer has an id, whatever was sent."""
    answer = await rest.get("/health", headers={"X-Request-ID": given})
    assert uuid.UUID(answer.headers["X-Request-ID"]).hex == answer.headers["X-Correlation-ID"]


@pytest.mark.parametrize("header", ["X-Request-ID", "X-Correlation-ID"])
async def test_the_callers_id_comes_back_with_a_success(rest: Rest, header: str) -> None:
    """In the headers and in the metadata."""
    answer = await rest.get("/api/v1/system.info", headers={header: "mine"})
    assert answer.json["metadata"]["request_id"] == "mine"
    assert answer.headers["X-Request-ID"] == answer.headers["X-Correlation-ID"] == "mine"


async def test_one_error_is_one_count(home: Home, rest: Rest) -> None:
    """The counters of errors add up."""
    before = counters["errors_unknown_action"], counters["errors_internal"]
    await _unknown_action(home, rest, {})
    await _broken(home, rest, {})
    after = counters["errors_unknown_action"], counters["errors_internal"]
    assert after == (before[0] + 1, before[1] + 1)


# -- lists --------------------------------------------------------------------------------------------


async def test_a_row_that_no_database_can_have_is_refused(rest: Rest) -> None:
    """A number of the query is no smaller than one of a body."""
    answer = await rest.get(f"/api/v1/outbox.read?after={2**63}")
    assert (answer.status, answer.code) == (400, "invalid_params")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "100000000000000000000", "many", "1.5", ""])
async def test_a_limit_out_of_bounds_is_refused(rest: Rest, limit: str) -> None:
    """The field is named; nothing is cut off in silence."""
    answer = await rest.get(f"/api/v1/devices.list?limit={limit}")
    assert (answer.status, answer.code) == (400, "invalid_params")
    assert "limit" in answer.json["error"]["message"]


@pytest.mark.parametrize("limit", ["1", "1000"])
async def test_a_limit_within_bounds_is_taken(rest: Rest, limit: str) -> None:
    """One and a thousand are both allowed."""
    assert (await rest.get(f"/api/v1/devices.list?limit={limit}")).status == 200


async def test_a_parameter_that_is_not_known_is_refused(rest: Rest) -> None:
    """A typing error is not taken for a wish."""
    answer = await rest.get("/api/v1/devices.list?limt=5")
    assert (answer.status, answer.code) == (400, "invalid_params")


async def test_pages_are_complete_and_disjoint_while_others_insert(home: Home, rest: Rest) -> None:
    """What was there at the first page comes exactly once."""
    lamp = await home.puppet("lamp", "light")
    device = lamp.context.device_id

    async def ingest(topic: str) -> None:
        said = {"device_id": device, "topic": topic, "payload": "x"}
        await home.command("telemetry.ingest", said)

    for number in range(25):
        await ingest(f"old {number}")
    topics: list[str] = []
    query, more = f"?device_id={device}&limit=4", ""
    while True:
        page = (await rest.get(f"/api/v1/telemetry.list{query}{more}")).data
        topics += [item["topic"] for item in page["items"]]
        if len(topics) < 40:
            await ingest(f"new {len(topics)}")
        if page["cursor"] is None:
            break
        more = f"&cursor={page['cursor']}"
    assert [topic for topic in topics if topic.startswith("old")] == [
        f"old {number}" for number in range(25)
    ]
    assert len(set(topics)) == len(topics)


async def test_only_the_fields_that_were_asked_for_come(home: Home, rest: Rest) -> None:
    """What is not there is left out."""
    await home.puppet("lamp", "light")
    answer = await rest.get("/api/v1/devices.list?fields=id,name,nonsense")
    assert [item.keys() for item in answer.data["items"]] == [{"id", "name"}]


async def test_what_did_not_change_is_not_sent_again(home: Home, rest: Rest) -> None:
    """A GET with the tag of the last answer is a 304 without a body."""
    await home.puppet("lamp", "light")
    first = await rest.get("/api/v1/devices.list")
    tag = {"If-None-Match": first.headers["ETag"]}
    same = await rest.get("/api/v1/devices.list", headers=tag)
    await home.puppet("door", "door")
    other = await rest.get("/api/v1/devices.list", headers=tag)
    assert (same.status, same.body, other.status) == (304, b"", 200)
    assert same.headers["X-Request-ID"]


async def test_a_list_that_is_read_again_is_a_hit_until_something_is_written(rest: Rest) -> None:
    """However soon after the write: whoever keeps a list asks each time whether it still holds."""
    path = "/api/v1/spools.list"
    first = await rest.get(path)
    tag = {"If-None-Match": first.headers["ETag"]}
    hits = [(await rest.get(path, headers=tag)).status for _ in range(3)]
    made = await rest.act("spools.put", {"material": "PLA"})
    fresh = await rest.get(path, headers=tag)
    assert (first.headers["Cache-Control"], hits) == ("private, no-cache", [304, 304, 304])
    assert [one["id"] for one in fresh.data["items"]] == [made.data["id"]]


async def test_keys_can_be_had_in_camel_case(home: Home, rest: Rest) -> None:
    """The values stay as they are."""
    await home.puppet("lamp", "light")
    (item,) = (await rest.get("/api/v1/devices.list", headers={"X-Case": "camel"})).data["items"]
    assert item["externalId"] == "lamp"
    assert item["capabilities"] == ["light_off", "light_on"]


# -- size ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "packed"), [(GZIP_ABOVE, False), (GZIP_ABOVE + 1, True)])
def test_more_than_a_kibibyte_is_compressed_and_no_less(size: int, packed: bool) -> None:
    """Small answers are not worth the work."""
    request = make_mocked_request("GET", "/", headers={"Accept-Encoding": "gzip"})
    response = _compressed(request, bytes(size), "application/json", 200)
    assert ("Content-Encoding" in response.headers) is packed


async def test_a_compressed_answer_is_the_same_answer(rest: Rest) -> None:
    """Only for who can read it."""
    plain = await rest.get("/api/v1/drivers.list", headers={"Accept-Encoding": "identity"})
    packed = await rest.get("/api/v1/drivers.list", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == (
        "gzip",
        "Accept-Encoding",
    )
    assert len(packed.raw) < len(plain.raw) / 2
    assert packed.data == plain.data


# -- time ---------------------------------------------------------------------------------------------


def test_the_times_are_those_that_were_promised(brain: Brain) -> None:
    """Thirty seconds for a command, sixty for those that think or count."""
    times = {name: spec.timeout for name, spec in brain.dispatcher.commands.items()}
    long = {name for name, seconds in times.items() if seconds == 60}
    thinking = {"conversation.process", "generate.text", "generate.data", "generate.image"}
    assert long == thinking | {"audit.verify", "files.picture", "queue.plan", "spoolman.sync"} | {
        "channels.test"
    }
    assert set(times.values()) == {30, 60}


async def test_a_command_that_hangs_ends_in_time(home: Home, rest: Rest) -> None:
    """The caller is told that there is no result; the next command runs."""
    lamp = await home.puppet("lamp", "light")
    lamp.reading = asyncio.Event()
    commands = home.brain.dispatcher.commands
    commands["devices.files"] = replace(commands["devices.files"], timeout=0.05)
    answer = await rest.act("devices.files", {"device_id": lamp.context.device_id})
    assert (answer.status, answer.code) == (503, "timeout")
    assert answer.json["error"]["details"] == {"seconds": 0.05}
    assert (await rest.get("/api/v1/system.info")).status == 200


# -- debugging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/debug/memory", "/debug/profile"])
async def test_there_is_no_debugging_by_default(rest: Rest, path: str) -> None:
    """Not even for the one who may do everything."""
    assert (await rest.get(path)).status == 404


@pytest.mark.parametrize("path", ["/debug/memory", "/debug/profile"])
async def test_debugging_is_for_admins_where_it_is_switched_on(tmp_path: Path, path: str) -> None:
    """Others do not even learn that it is there."""
    async with running(tmp_path, debug=True) as brain, Home(brain) as home:
        statuses = []
        for scope in ("read", "control", "admin"):
            async with Rest(brain, await home.token(scope)) as rest:
                statuses.append((await rest.get(path)).status)
    tracemalloc.stop()  # else every later test of this process is traced
    assert statuses == [404, 404, 200]


async def test_memory_is_told_by_the_line_that_holds_it(tmp_path: Path) -> None:
    """The first question begins to look, the second tells."""
    async with running(tmp_path, debug=True) as brain, Rest(brain) as rest:
        first = (await rest.get("/debug/memory")).data
        second = (await rest.get("/debug/memory")).data
    assert first == {"tracing": True}
    assert second["top"][0].keys() == {"where", "kib"}
    assert not tracemalloc.is_tracing()


async def test_nobody_is_traced_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever began to look and did not come back does not slow the brain down for the rest of its life."""
    monkeypatch.setattr("brain_server.api.rest.TRACING", 0.05)
    async with running(tmp_path, debug=True) as brain, Rest(brain) as rest:
        assert (await rest.get("/debug/memory")).data == {"tracing": True}
        await until(lambda: not tracemalloc.is_tracing(), "the end of tracing")


async def test_the_figures_tell_what_the_process_does(home: Home, rest: Rest) -> None:
    """Counters, times and who is connected."""
    await furnished(home)
    stats = (await rest.get("/stats")).data
    assert stats["counters"]["requests_claimed"] >= 1
    assert stats["command_ms"]["p50"] <= stats["command_ms"]["p99"]
    assert len(stats["clients"]) == 1
    assert stats["rss_max_mb"] > 10
