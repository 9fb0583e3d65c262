"""What a request weighs, and what is left out of one that is too long."""

from brain_server.providers import Author, Message, ModelRequest, Picture, Tool
from brain_server.routing.ask import PICTURE_TOKENS, shorter, tokens_of, trimmed

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
