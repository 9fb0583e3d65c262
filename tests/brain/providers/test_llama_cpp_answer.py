"""How a local model is asked, and how its answer is read while it comes; no model is needed for it."""

import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from brain_server.errors import ProviderError
from brain_server.protocol import Json
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    Part,
    Picture,
    Tool,
    ToolCall,
    Words,
)
from brain_server.providers.llama_cpp.answer import (
    ActionReader,
    Reader,
    SchemaReader,
    TextReader,
    reader_for,
    turns,
)

LIGHT = Tool(
    name="light",
    description="Turn a light on",
    parameters={"properties": {"room": {"type": "string"}}, "required": ["room"]},
)
NUMBER: Json = {"type": "integer", "minimum": 1}


def read(reader: Reader, pieces: list[str], *, whole: bool = True) -> list[Part]:
    """Feed an answer in pieces, each a token with the log-probability -1."""
    parts = [part for piece in pieces for part in reader.feed(piece, (-1.0,))]
    return [*parts, *reader.end(whole=whole)]


def said(parts: list[Part]) -> list[str]:
    """Return the words, as they came."""
    return [part.text for part in parts if isinstance(part, Words)]


def message(author: Author, text: str = "", **rest: Any) -> Message:
    """Return a message."""
    return Message(author=author, text=text, **rest)


# -- reading ------------------------------------------------------------------------------------------


def test_plain_words_come_without_the_space_before_the_first() -> None:
    parts = read(TextReader(), [" \n", " It", " is", " open"])
    assert said(parts) == ["It", " is", " open"]


def test_json_passes_as_it_comes_and_is_judged_at_the_end() -> None:
    assert said(read(SchemaReader(NUMBER), ["1", "2"])) == ["1", "2"]


@pytest.mark.parametrize(
    ("pieces", "whole", "code"),
    [
        (["0"], True, "provider_invalid"),
        (["one"], True, "provider_invalid"),
        (["{"], False, "provider_cut_off"),
    ],
)
def test_json_that_does_not_fit_is_an_error(pieces: list[str], whole: bool, code: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(SchemaReader(NUMBER), pieces, whole=whole)
    assert caught.value.code == code


def test_what_is_said_passes_before_the_object_is_whole() -> None:
    reader = ActionReader("say", None)
    pieces = ['{"action"', ' : "say", "te', 'xt": "', "It is", " open", '"', " }"]
    assert [said(list(reader.feed(piece, ()))) for piece in pieces] == [
        [], [], [], ["It is"], [" open"], [], []
    ]  # fmt: skip
    assert list(reader.end(whole=True)) == []


def test_only_the_tokens_of_the_words_have_probabilities() -> None:
    parts = read(ActionReader("say", None), ['{"action":"say",', '"text":"', "It", " is", '"}'])
    assert [part.logprobs for part in parts if isinstance(part, Words)] == [(-1.0,), (-1.0,)]


def test_words_that_were_cut_off_still_count() -> None:
    assert said(
        read(ActionReader("say", None), ['{"action":"say","text":"It is'], whole=False)
    ) == ["It is"]


@given(text=st.text(), sizes=st.lists(st.integers(1, 5), min_size=1), ascii_only=st.booleans())
def test_every_text_comes_through_whatever_way_it_is_cut(
    text: str, sizes: list[int], ascii_only: bool
) -> None:
    wire = json.dumps({"action": "say", "text": text}, ensure_ascii=ascii_only)
    pieces, at, turn = [], 0, 0
    while at < len(wire):
        pieces.append(wire[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    assert "".join(said(read(ActionReader("say", None), pieces))) == text


def test_half_a_surrogate_pair_becomes_the_sign_for_no_letter() -> None:
    parts = read(ActionReader("say", None), ['{"action":"say","text":"\\ud83d', ' x"}'])
    assert "".join(said(parts)) == "\ufffd x"


def test_a_line_break_within_what_is_said_passes() -> None:
    assert said(read(ActionReader("say", None), ['{"action":"say","text":"a\nb"}'])) == ["a\nb"]


def test_a_tool_comes_whole_at_the_end() -> None:
    parts = read(ActionReader("say", None), ['{"action":"light","argu', 'ments":{"room":"x"}}'])
    assert isinstance(parts[0], Calls)
    assert len(parts) == 1
    (call,) = parts[0].calls
    assert (call.name, call.arguments) == ("light", {"room": "x"})
    assert len(call.id) == 32


def test_arguments_that_are_no_object_are_none() -> None:
    (part,) = read(ActionReader("say", None), ['{"action":"light","arguments":[1]}'])
    assert isinstance(part, Calls)
    assert part.calls[0].arguments is None


@pytest.mark.parametrize(
    ("pieces", "whole", "code"),
    [
        (['{"action":"light","arg'], False, "provider_cut_off"),
        (["no json"], True, "provider_invalid"),
        (['{"arguments":{}}'], True, "provider_invalid"),
        (["[]"], True, "provider_invalid"),
    ],
)
def test_an_answer_that_is_no_action_is_an_error(pieces: list[str], whole: bool, code: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(ActionReader("say", None), pieces, whole=whole)
    assert caught.value.code == code


def test_with_tools_and_a_schema_what_is_said_is_json_that_fits() -> None:
    parts = read(ActionReader("say", NUMBER), ['{"action":"say",', '"text": 7}'])
    assert said(parts) == ["7"]


def test_with_tools_and_a_schema_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ProviderError) as caught:
        read(ActionReader("say", NUMBER), ['{"action":"say","text":0}'])
    assert caught.value.code == "provider_invalid"


# -- asking -------------------------------------------------------------------------------------------


def test_without_tools_or_schema_the_model_is_free() -> None:
    schema, reader = reader_for(ModelRequest(messages=()))
    assert schema is None
    assert isinstance(reader, TextReader)


def test_with_a_schema_the_model_is_held_to_it() -> None:
    schema, reader = reader_for(ModelRequest(messages=(), schema={"type": "boolean"}))
    assert schema == {"type": "boolean"}
    assert isinstance(reader, SchemaReader)


def test_with_tools_the_model_may_call_each_or_speak() -> None:
    schema, _ = reader_for(ModelRequest(messages=(), tools=(LIGHT,)))
    assert schema is not None
    assert [arm["properties"]["action"]["const"] for arm in schema["oneOf"]] == ["light", "say"]
    assert schema["oneOf"][0]["properties"]["arguments"]["required"] == ["room"]
    assert schema["oneOf"][1]["properties"]["text"] == {"type": "string"}


def test_a_tool_may_itself_be_called_say() -> None:
    tool = Tool(name="say", description="Speak aloud", parameters={"type": "object"})
    request = ModelRequest(messages=(), tools=(tool,))
    schema, reader = reader_for(request)
    assert schema is not None
    assert [arm["properties"]["action"]["const"] for arm in schema["oneOf"]] == ["say", "_say"]
    assert said(read(reader, ['{"action":"_say","text":"hi"}'])) == ["hi"]
    assert '"action": "_say"' in turns(request)[0].text


def test_with_tools_and_a_schema_the_model_may_only_say_what_fits() -> None:
    schema, reader = reader_for(ModelRequest(messages=(), tools=(LIGHT,), schema={"enum": [1]}))
    assert schema is not None
    assert schema["oneOf"][1]["properties"]["text"] == {"enum": [1]}
    assert said(read(reader, ['{"action":"say","text":1}'])) == ["1"]


def test_a_conversation_keeps_its_roles() -> None:
    request = ModelRequest(
        messages=(
            message(Author.SYSTEM, "You are a house"),
            message(Author.USER, "hi"),
            message(Author.ASSISTANT, "hello"),
            message(Author.USER, "bye"),
        )
    )
    assert [(turn.role, turn.text) for turn in turns(request)] == [
        ("system", "You are a house"),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "bye"),
    ]


def test_nobody_speaks_twice_in_a_row_and_the_system_speaks_first() -> None:
    picture = Picture(data=b"x", media_type="image/png")
    request = ModelRequest(
        messages=(
            message(Author.USER, "a"),
            message(Author.SYSTEM, "late"),
            message(Author.USER, "b", pictures=(picture,)),
        )
    )
    found = turns(request)
    assert [(turn.role, turn.text) for turn in found] == [("system", "late"), ("user", "a\n\nb")]
    assert found[1].pictures == (b"x",)


def test_nothing_asked_is_no_turn() -> None:
    assert turns(ModelRequest(messages=())) == ()


def test_with_tools_the_past_has_the_form_of_the_answers() -> None:
    call = ToolCall(id="1", name="light", arguments={"room": "x"})
    request = ModelRequest(
        messages=(
            message(Author.SYSTEM, "You are a house"),
            message(Author.USER, "light on"),
            message(Author.ASSISTANT, "At once", calls=(call,)),
            message(Author.TOOL, "done", call_id="1"),
            message(Author.TOOL, "what?", call_id="unknown"),
        ),
        tools=(LIGHT,),
    )
    system, asked, acted, result = turns(request)
    assert "- light: Turn a light on" in system.text
    assert system.text.endswith("You are a house")
    assert asked.text == "light on"
    assert [json.loads(line) for line in acted.text.splitlines()] == [
        {"action": "say", "text": "At once"},
        {"action": "light", "arguments": {"room": "x"}},
    ]
    assert (result.role, result.text) == (
        "user",
        "Result of light:\ndone\n\nResult of a tool:\nwhat?",
    )
