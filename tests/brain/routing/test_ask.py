"""What a request weighs, what is left out of one that is too long, and what is looked at before it goes."""

from collections.abc import Callable
from typing import Any

import pytest

from brain_server.app import Brain
from brain_server.commands import SYSTEM as OPERATOR
from brain_server.errors import Forbidden, ProviderError
from brain_server.providers import Author, Message, ModelRequest, Picture, Tool, Use
from brain_server.retry import Tries
from brain_server.routing.ask import (
    PICTURE_TOKENS,
    About,
    Asker,
    Bill,
    shorter,
    tokens_of,
    trimmed,
)
from brain_server.routing.models import Model
from brain_server.routing.privacy import SetPrivacy
from brain_server.storage.tables import spending
from tests.brain.home import Home
from tests.brain.minds.double import Double
from tests.brain.stage import Scripts, double, far, rows

SYSTEM = Message(author=Author.SYSTEM, text="Rules. " * 20)
LAST = Message(author=Author.USER, text="And now?")


def said(number: int) -> Message:
    """Return something that was said before."""
    author = Author.USER if number % 2 == 0 else Author.ASSISTANT
    return Message(author=author, text=f"{number} " + "word " * 50)


def request(*middle: Message, tail: tuple[Message, ...] = ()) -> ModelRequest:
    """Return a request with this between the rules and the last words."""
    return ModelRequest(messages=(SYSTEM, *middle, LAST, *tail), max_tokens=100)


def test_words_tools_and_pictures_all_weigh():
    plain = tokens_of(request())
    assert tokens_of(request(said(1))) > plain + 60
    picture = Message(author=Author.USER, pictures=(Picture(data=b"", media_type="image/png"),))
    assert tokens_of(request(picture)) >= plain + PICTURE_TOKENS
    tool = Tool(name="look", description="Look at something", parameters={"type": "object"})
    with_tool = ModelRequest(messages=(SYSTEM, LAST), tools=(tool,), max_tokens=100)
    assert tokens_of(with_tool) > plain


def test_what_fits_is_left_as_it_is():
    whole = request(said(1), said(2))
    assert trimmed(whole, 10_000) == whole


def test_the_oldest_goes_first_and_rules_and_last_words_stay():
    whole = request(*(said(number) for number in range(10)))
    fitting = trimmed(whole, tokens_of(whole) + 100 - 200)
    assert fitting is not None
    assert tokens_of(fitting) < tokens_of(whole)
    assert fitting.messages[0] == SYSTEM
    assert fitting.messages[-1] == LAST
    assert fitting.messages[1:-1] == whole.messages[-len(fitting.messages) + 1 : -1]


def test_no_answer_of_a_tool_stays_without_its_question():
    asks = Message(author=Author.ASSISTANT, text="Let me look")
    tells = Message(author=Author.TOOL, text="It is there", call_id="1")
    smaller = shorter(request(said(0), asks, tells, said(2)))
    assert smaller is not None
    assert Author.TOOL not in [message.author for message in smaller.messages]


def test_then_the_longest_answer_of_a_tool_is_cut():
    long = Message(author=Author.TOOL, text="a" * 4_000, call_id="1")
    short = Message(author=Author.TOOL, text="b" * 100, call_id="2")
    smaller = shorter(request(tail=(long, short)))
    assert smaller is not None
    assert smaller.messages[-2].text == "a" * 2_000 + " [cut]"
    assert smaller.messages[-1] == short


def test_what_cannot_be_made_to_fit_is_given_up():
    assert trimmed(request(said(1)), 50) is None
    assert shorter(request()) is None


ABOUT = About(request_id="r", conversation_id=None)


async def words(asker: Asker, model: Model) -> None:
    """Ask for words."""
    async for _part in asker.stream(model, request(), ABOUT, Bill()):
        pass


WAYS: list[Callable[[Asker, Model], Any]] = [
    words,
    lambda asker, model: asker.draw(model, "a lamp", ABOUT),
    lambda asker, model: asker.embed(model, ["a lamp"]),
]


@pytest.mark.parametrize("way", WAYS, ids=["words", "picture", "meaning"])
async def test_nothing_leaves_a_house_that_went_offline_while_money_was_set_aside(
    home: Home,
    brain: Brain,
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[Asker, Model], Any],
):
    model = brain.models.get(await far(home, uses=[*Use]))
    asker = Asker(brain.models, brain.budget, brain.privacy, brain.slots)
    reserve = brain.budget.reserve
    sent: list[str] = []

    async def late(*args: Any, **more: Any) -> Any:
        made = await reserve(*args, **more)
        await brain.privacy.set(OPERATOR, SetPrivacy(offline_mode=True))
        return made

    async def leave(*_args: object) -> Any:
        sent.append("gone")
        raise ProviderError("provider_failed", "It broke")

    scripts["far"] = lambda _request: ["Well."]
    monkeypatch.setattr(brain.budget, "reserve", late)
    monkeypatch.setattr(double(), "draw", leave)
    monkeypatch.setattr(double(), "embed", leave)
    with pytest.raises(Forbidden) as refused:
        await way(asker, model)
    assert refused.value.code == "offline_mode"
    assert (sent, Double.heard) == ([], {})
    assert [row["status"] for row in await rows(brain, spending)] == ["released"]


async def test_nothing_leaves_a_house_that_went_offline_before_another_try(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    model = brain.models.get(await far(home))
    asker = Asker(brain.models, brain.budget, brain.privacy, brain.slots)

    async def again(*_args: object) -> bool:
        await brain.privacy.set(OPERATOR, SetPrivacy(offline_mode=True))
        monkeypatch.undo()
        return True

    scripts["far"] = lambda _request: [ProviderError("model_loading", "It wakes up")]
    monkeypatch.setattr(Tries, "again", again)
    with pytest.raises(Forbidden) as refused:
        await words(asker, model)
    assert refused.value.code == "offline_mode"
    assert len(Double.heard["far"]) == 1
    assert [row["status"] for row in await rows(brain, spending)] == ["released"]
