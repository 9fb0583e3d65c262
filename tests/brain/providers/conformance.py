"""What every provider of words must do: one table, for which a new provider needs no new tests.

A rig without a feature is not put through the checks that need it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
import json
import logging
import traceback
from typing import Any

import pytest

from brain_server.errors import InvalidRequest, ProviderError
from brain_server.plugins import checked
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelProvider,
    ModelRequest,
    Part,
    Picture,
    Tool,
    ToolCall,
    Usage,
    Words,
)
from tests.brain.providers.rigs import ApiRig
from tests.brain.soon import SOON
from tests.standins.model_api import Reply

SCHEMA = {
    "type": "object",
    "properties": {"sure": {"type": "boolean"}},
    "required": ["sure"],
    "additionalProperties": False,
}
LOOK = Tool(
    name="look",
    description="Look at a device",
    parameters={"type": "object", "properties": {"device": {"type": "string"}}},
)
PICTURE = Picture(data=b"\xff\xd8\xff a picture", media_type="image/jpeg")
ASK = ModelRequest(messages=(Message(author=Author.USER, text="Hello"),))
# Everything that a request can hold.
FULL = ModelRequest(
    messages=(
        Message(author=Author.SYSTEM, text="You are KITTY."),
        Message(author=Author.USER, text="What is this?", pictures=(PICTURE,)),
        Message(
            author=Author.ASSISTANT,
            text="I look.",
            calls=(
                ToolCall(id="a1", name="look", arguments={"device": "door"}),
                ToolCall(id="a2", name="look", arguments=None),
            ),
        ),
        Message(author=Author.TOOL, text="It is shut.", call_id="a1", pictures=(PICTURE,)),
        Message(author=Author.TOOL, text="Nonsense.", call_id="a2"),
        Message(author=Author.USER, text="Sure?"),
    ),
    tools=(LOOK,),
    max_tokens=99,
    temperature=0.5,
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    sentence: str
    needs: frozenset[str]
    run: Callable[[Any], Awaitable[None]]


CHECKS: list[Check] = []


def check(*needs: str) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Add a function to the table; its name is the sentence."""

    def add(run: Callable[[Any], Awaitable[None]]) -> None:
        sentence = run.__name__.replace("_", " ")
        CHECKS.append(Check(sentence=sentence, needs=frozenset(needs), run=run))

    return add


def cases(*rigs: Any) -> list[Any]:
    """Return each rig with each check that it is fit for, for ``parametrize``."""
    return [
        pytest.param(rig, check, id=f"{rig.name}-{check.sentence}", marks=rig.marks)
        for rig in rigs
        for check in CHECKS
        if check.needs <= rig.features
    ]


async def parts_of(provider: ModelProvider, request: ModelRequest = ASK) -> list[Part]:
    """Return an answer when it is whole."""
    return [part async for part in provider.stream(request)]


async def failure_of(asked: Awaitable[Any]) -> ProviderError:
    """Return the error with which something ends."""
    with pytest.raises(ProviderError) as raised:
        await asked
    return raised.value


def told(error: BaseException | None) -> str:
    """Return all that a log could show of an error and of what led to it."""
    found = ""
    while error is not None:
        found += f"{error!r} {error} {error.args} {vars(error)}"
        found += "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return found


# -- answers --------------------------------------------------------------------------------------------


@check("script")
async def words_come_in_pieces_and_the_usage_last(rig: ApiRig) -> None:
    """The words as the model said them; what it took, and which model it was."""
    *words, usage = await parts_of(rig.make())
    assert words == [Words(text="Hello"), Words(text=" there")]
    assert usage == Usage(tokens_in=12, tokens_out=34, finish="stop", model=rig.answering)


@check("script")
async def words_come_before_the_answer_is_whole(rig: ApiRig) -> None:
    """Nobody waits for the end."""
    rig.answer(Reply(silent_at=rig.first_words))
    async with aclosing(rig.make(patience=300).stream(ASK)) as parts:
        first = await anext(parts)
    assert first == Words(text="Hello")


@check("script")
async def calls_of_tools_come_whole_after_the_words(rig: ApiRig) -> None:
    """Though the model writes them in pieces."""
    written = (("look", '{"device": "the blue door"}'), ("look", '{"device": "printer"}'))
    rig.answer(Reply(pieces=("I look.",), calls=written))
    words, calls, usage = await parts_of(rig.make(), replace(ASK, tools=(LOOK,)))
    assert words == Words(text="I look.")
    assert isinstance(calls, Calls)
    assert [call.name for call in calls.calls] == ["look", "look"]
    assert [call.arguments for call in calls.calls] == [
        {"device": "the blue door"},
        {"device": "printer"},
    ]
    assert len({call.id for call in calls.calls}) == 2
    assert isinstance(usage, Usage)
    assert usage.finish == "tool_calls"


@check("script")
async def arguments_that_are_no_json_object_are_none(rig: ApiRig) -> None:
    """The caller sees that the call is broken, and which tool it was."""
    written = (("look", '{"device": "prin'), ("look", '["printer"]'), ("look", '{"device": 1e}'))
    rig.answer(Reply(calls=written))
    (calls,) = [part for part in await parts_of(rig.make()) if isinstance(part, Calls)]
    assert [(call.name, call.arguments) for call in calls.calls] == [("look", None)] * 3


@check("script")
async def a_call_without_arguments_has_none_to_give(rig: ApiRig) -> None:
    """Nothing written means an empty object."""
    rig.answer(Reply(pieces=(), calls=(("look", ""),)))
    (calls, _usage) = await parts_of(rig.make())
    assert isinstance(calls, Calls)
    assert calls.calls[0].arguments == {}


@check("script")
async def an_answer_that_was_too_long_says_so(rig: ApiRig) -> None:
    """It ended at the limit of tokens."""
    rig.answer(Reply(finish=rig.cut_short))
    (usage,) = [part for part in await parts_of(rig.make()) if isinstance(part, Usage)]
    assert usage.finish == "length"


@check("script")
async def an_answer_that_is_a_refusal_says_so(rig: ApiRig) -> None:
    """The model would not."""
    rig.answer(Reply(finish=rig.refused))
    (usage,) = [part for part in await parts_of(rig.make()) if isinstance(part, Usage)]
    assert usage.finish == "refusal"


@check("script")
async def an_answer_to_a_schema_is_its_json_as_words(rig: ApiRig) -> None:
    """However the provider asks for it."""
    rig.answer(Reply(pieces=('{"sure": ', "true}")))
    *words, usage = await parts_of(rig.make(), replace(ASK, schema=SCHEMA))
    text = "".join(part.text for part in words if isinstance(part, Words))
    assert json.loads(text) == {"sure": True}
    assert isinstance(usage, Usage)
    assert usage.finish == "stop"


@check("script")
async def answers_at_the_same_time_do_not_mix(rig: ApiRig) -> None:
    """One provider serves many."""
    provider = rig.make()
    answers = await asyncio.gather(*(parts_of(provider) for _ in range(20)))
    assert answers == [answers[0]] * 20


@check("http")
async def the_connection_is_used_again_after_a_whole_answer(rig: ApiRig) -> None:
    """A second question needs no second handshake."""
    provider = rig.make()
    await parts_of(provider)
    await parts_of(provider)
    await provider.check()
    assert len(rig.api.connections) == 1


# -- ends -----------------------------------------------------------------------------------------------


@check("http")
async def closing_the_answer_hangs_up_at_once(rig: ApiRig) -> None:
    """The model stops working for nobody."""
    rig.answer(Reply(silent_at=rig.first_words))
    parts = rig.make(patience=300).stream(ASK)
    await anext(parts)
    await parts.aclose()
    async with asyncio.timeout(SOON):
        await rig.api.hung_up.wait()


@check("http")
async def cancelling_the_question_hangs_up_at_once(rig: ApiRig) -> None:
    """Also while nothing of the answer has come."""
    rig.answer(Reply(silent_at=0))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(parts_of(rig.make(patience=300)))
        await rig.api.was_asked.wait()
        asking.cancel()
    async with asyncio.timeout(SOON):
        await rig.api.hung_up.wait()
    assert asking.cancelled()


@check("http")
async def an_answer_without_its_end_is_cut_off(rig: ApiRig) -> None:
    """However politely the connection ends; at every place."""
    errors = []
    for at in range(1, rig.events):
        rig.answer(Reply(end_at=at))
        errors.append((await failure_of(parts_of(rig.make()))).code)
    assert errors == ["provider_cut_off"] * (rig.events - 1)


@check("http")
async def a_connection_that_breaks_in_an_answer_cuts_it_off(rig: ApiRig) -> None:
    """After what had come by then."""
    rig.answer(Reply(break_at=rig.first_words))
    parts = rig.make().stream(ASK)
    assert await anext(parts) == Words(text="Hello")
    assert (await failure_of(anext(parts))).code == "provider_cut_off"


@check("http")
async def a_connection_that_breaks_before_the_answer_cuts_it_off(rig: ApiRig) -> None:
    """It may have been worked on, so it is not unreachable."""
    rig.answer(Reply(break_at=0))
    assert (await failure_of(parts_of(rig.make()))).code == "provider_cut_off"


@check("http")
async def silence_cuts_an_answer_off(rig: ApiRig) -> None:
    """After as long as the option says."""
    rig.answer(Reply(silent_at=rig.first_words))
    assert (await failure_of(parts_of(rig.make(patience=0.1)))).code == "provider_cut_off"


@check("http")
async def an_event_that_is_no_json_is_invalid(rig: ApiRig) -> None:
    """Neither is JSON of another shape, or text in no known alphabet."""
    rubbish = (b"data: {oh\n\n", b"data: [1]\n\n", b'data: {"choices": 1, "type": 1, "say": 1}\n\n')
    errors = []
    for odd in (*rubbish, b'data: {"type": "\xff", "model": "\xff"}\n\n'):
        rig.answer(Reply(odd_at=1, odd=odd))
        errors.append((await failure_of(parts_of(rig.make()))).code)
    assert errors == ["provider_invalid"] * 4


@check("http")
async def an_answer_that_is_no_stream_is_invalid(rig: ApiRig) -> None:
    """Such as the page of a hotel's network."""
    rig.answer(Reply(body=b"<html>Welcome", headers={"Content-Type": "text/html"}))
    assert (await failure_of(parts_of(rig.make()))).code == "provider_invalid"


@check("http")
async def an_error_in_the_middle_of_an_answer_is_told(rig: ApiRig) -> None:
    """After the words that came before it."""
    odd, code = rig.stumble
    rig.answer(Reply(odd_at=rig.first_words, odd=odd))
    parts = rig.make().stream(ASK)
    assert await anext(parts) == Words(text="Hello")
    assert (await failure_of(anext(parts))).code == code


# -- refusals -------------------------------------------------------------------------------------------


@check("http")
async def each_refusal_has_its_own_code(rig: ApiRig) -> None:
    """As the server words it."""
    codes = {}
    for code, reply in rig.refusals.items():
        rig.answer(reply)
        codes[code] = (await failure_of(parts_of(rig.make()))).code
    assert codes == {code: code for code in rig.refusals}


@check("http")
async def what_failed_inside_the_server_has_its_status(rig: ApiRig) -> None:
    """Whatever came with it: nothing, a page, a redirection to somebody else."""
    found = []
    for status in (302, 400, 402, 418, 500, 502, 503, 504):
        rig.answer(Reply(status=status, body=b"<html>", headers={"Location": "http://127.0.0.1:1"}))
        error = await failure_of(parts_of(rig.make()))
        found.append((error.code, error.fields))
    assert found == [
        ("provider_failed", {"http_status": status})
        for status in (302, 400, 402, 418, 500, 502, 503, 504)
    ]


@check("http")
async def a_busy_server_tells_when_to_come_back(rig: ApiRig) -> None:
    """In seconds, in milliseconds, as a date; or not at all, or in no sensible way."""
    past = "Wed, 21 Oct 2015 07:28:00"
    waits = []
    for headers in (
        {"Retry-After": "7"},
        {"Retry-After": "7", "retry-after-ms": "1500"},
        {"Retry-After": f"{past} GMT"},
        {"Retry-After": f"{past} -0000"},
        {},
        {"Retry-After": "soon"},
        {"Retry-After": "inf"},
        {"Retry-After": "-5"},
    ):
        rig.answer(Reply(status=429, body={}, headers=headers))
        error = await failure_of(parts_of(rig.make()))
        waits.append((error.code, error.fields.get("retry_after")))
    assert waits == [
        ("provider_busy", wait) for wait in (7.0, 1.5, 0.0, None, None, None, 86_400.0, 0.0)
    ]


@check("http")
async def a_key_that_is_not_accepted_is_told(rig: ApiRig) -> None:
    """Not known to the server, or not allowed to do this."""
    assert (await failure_of(rig.make(api_key="another").check())).code == "provider_auth"
    rig.answer(Reply(status=403, body={}))
    assert (await failure_of(parts_of(rig.make()))).code == "provider_auth"


@check("http")
async def a_server_that_is_not_there_is_unreachable(rig: ApiRig) -> None:
    """Nobody listens, or there is no such name; nothing was asked."""
    closed = rig.make(base_url="http://127.0.0.1:1")
    nameless = rig.make(base_url="http://no-such-host.invalid")
    assert (await failure_of(parts_of(closed))).code == "provider_unreachable"
    assert (await failure_of(nameless.check())).code == "provider_unreachable"


@check("http")
async def an_address_that_is_none_is_refused(rig: ApiRig) -> None:
    """By the name of the field."""
    fields = []
    for wrong in (
        "ftp://host",
        "nonsense",
        "http://",
        "http://me:pw@host",
        "http://h:99999",
        "http://h?k=v",
    ):
        with pytest.raises(InvalidRequest) as raised:
            await rig.make(base_url=wrong).check()
        fields.append((raised.value.code, raised.value.fields["field"]))
    assert fields == [("invalid_option", "base_url")] * 6


@check("http")
async def a_key_that_is_none_is_refused(rig: ApiRig) -> None:
    """What would break out of its header never gets into one."""
    with pytest.raises(InvalidRequest) as raised:
        await rig.make(api_key="one\r\nHost: another").check()
    assert (raised.value.code, raised.value.fields) == ("invalid_option", {"field": "api_key"})
    assert "another" not in f"{raised.value!r} {raised.value.as_dict()}"


@check("http")
async def the_key_is_never_shown(rig: ApiRig) -> None:
    """Though the server repeats it in every way it can, or speaks no HTTP at all."""
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]  # one method is replaced for this test
    logging.getLogger().addHandler(handler)
    key = rig.api.key
    shown = repr(rig.make())
    replies = [
        Reply(status=status, body={"error": {"message": f"Your key {key} is bad", "code": key}})
        for status in (400, 401, 404, 429, 500, 503)
    ]
    replies += [
        Reply(odd_at=1, odd=f'data: {{"error": "{key}", "type": "error"}}\n\n'.encode()),
        Reply(odd_at=1, odd=f"data: {key}\n\n".encode()),
        Reply(break_at=1),
        Reply(silent_at=1),
    ]
    try:
        for reply in replies:
            rig.answer(reply)
            shown += told(await failure_of(parts_of(rig.make())))
        async with not_http() as url:
            error = await failure_of(parts_of(rig.make(base_url=url)))
    finally:
        logging.getLogger().removeHandler(handler)
    assert error.code == "provider_invalid"
    assert key not in shown + told(error) + "".join(lines)


# -- looking --------------------------------------------------------------------------------------------


@check("http")
async def looking_finds_the_model(rig: ApiRig) -> None:
    """And lists what else there is."""
    info = await rig.make().check()
    assert info.model in info.models
    assert info.models == rig.api.models  # type: ignore[attr-defined]  # each rig has its own kind of API


@check("http")
async def looking_names_the_model_that_is_missing_and_those_that_are_there(rig: ApiRig) -> None:
    """So that a person sees the typing error."""
    error = await failure_of(rig.make(model="gtp").check())
    names = ", ".join(rig.api.models)  # type: ignore[attr-defined]  # each rig has its own kind of API
    assert error.code == "model_missing"
    assert error.fields == {"expected": "gtp", "found": names}
    assert error.message == f"Expected model gtp, found {names}"


@check("http")
async def looking_at_something_else_is_invalid(rig: ApiRig) -> None:
    """What answers there is another kind of server."""
    rig.answer(Reply(body={"models": "many", "data": 3}))
    assert (await failure_of(rig.make().check())).code == "provider_invalid"


@check("http")
async def what_the_person_says_of_the_context_holds(rig: ApiRig) -> None:
    """It is the smaller of what the model could and what it is given."""
    assert (await rig.make(context=4096.0).check()).context == 4096


@check("http")
async def the_form_can_be_filled_in(rig: ApiRig) -> None:
    """With what is required alone; and it knows which field is secret."""
    form = rig.provider.options
    needed = {option.name: "http://host" for option in form if option.required}
    assert checked(form, needed).keys() == {option.name for option in form}
    assert [option.name for option in form if option.type == "secret"] == ["api_key"]


@check("http")
async def what_is_said_arrives_in_its_own_alphabet(rig: ApiRig) -> None:
    """Both ways, and cut anywhere."""
    rig.answer(Reply(pieces=("Grüße", " 日本", " 🐱\u2028.")))
    asked = ModelRequest(messages=(Message(author=Author.USER, text="¿Qué? 🐱"),))
    parts = await parts_of(rig.make(), asked)
    assert "".join(part.text for part in parts if isinstance(part, Words)) == "Grüße 日本 🐱\u2028."
    assert "¿Qué? 🐱" in json.dumps(rig.api.asked[-1], ensure_ascii=False)


# -- other uses -----------------------------------------------------------------------------------------


@check("embed")
async def each_text_gets_its_vector_in_order(rig: ApiRig) -> None:
    """Also of more texts than go into one call."""
    texts = ["x" * length for length in range(150)]
    vectors = await rig.make().embed(texts)
    assert [vector[0] for vector in vectors] == [float(len(text)) for text in texts]
    assert [len(asked["input"]) for asked in rig.api.asked] == [64, 64, 22]


@check("embed")
async def no_texts_are_no_question(rig: ApiRig) -> None:
    """Nothing is asked for nothing."""
    assert await rig.make().embed([]) == []
    assert rig.api.asked == []


@check("embed", "http")
async def vectors_that_do_not_match_the_texts_are_invalid(rig: ApiRig) -> None:
    """A vector for the wrong text would be remembered for ever."""
    for data in ([], [{"index": 1, "embedding": [1.0]}], [{"index": 0, "embedding": [[1.0]]}]):
        rig.answer(Reply(body={"data": data}))
        assert (await failure_of(rig.make().embed(["a"]))).code == "provider_invalid"


@check("draw")
async def a_picture_comes_with_its_kind(rig: ApiRig) -> None:
    """As its own first bytes tell."""
    picture = await rig.make().draw("A cat")
    assert (picture.data, picture.media_type) == (rig.api.picture, "image/png")  # type: ignore[attr-defined]  # each rig has its own kind of API
    assert rig.api.asked[-1] == {"model": "gpt-image-test", "prompt": "A cat", "n": 1}


@check("draw", "http")
async def a_picture_that_is_none_is_invalid(rig: ApiRig) -> None:
    """Nothing, no base64, or of no known kind."""
    for data in ([], [{"b64_json": "*"}], [{"b64_json": "aGVsbG8="}]):
        rig.answer(Reply(body={"data": data}))
        assert (await failure_of(rig.make().draw("A cat"))).code == "provider_invalid"


def not_http() -> Any:
    """Serve something that speaks no HTTP; a context manager that gives its address."""
    return _NotHttp()


class _NotHttp:
    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()

    async def _greet(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()
