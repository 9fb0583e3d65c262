"""What research does with text: addresses, passages, quotes that are checked, claims that are checked.

Pages and what a model makes of them are text from outside. A quote counts only where the page itself has it,
word for word; a claim counts only where it cites such a quote, and its numbers must be those of the quote.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import html
import itertools
import re
from typing import Final

from yarl import URL

from brain_server.conversation.trust import shown, visible
from brain_server.fetch import MOST_URL
from brain_server.memory.lexical import overlap
from brain_server.protocol import Json

SHORTEST_QUOTE: Final = 20
FEWEST_WORDS: Final = 4
LONGEST_QUOTE: Final = 500
LONGEST_CLAIM: Final = 400
# Of a page that no model has read, the best sentences that hold at least this part of what was asked.
MOST_SENTENCES: Final = 3
LEAST_SHARE: Final = 0.25
LONGEST_SENTENCE: Final = 400
# Paragraphs longer than this are taken apart, so that a page in one paragraph can be chosen from, too.
LONGEST_PART: Final = 1_200

_ADDRESS: Final = re.compile(r"(?i)\bhttps?://[^\s<>\"'`\\{}|^\[\]]{1,2100}")
_SENTENCE: Final = re.compile(r"(?<=[.!?\u2026\u3002])\s+")
_NUMBER: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{3})+")
_CITED: Final = re.compile(r"\s*\[[0-9,\s]{1,40}\]")
# Signs that models write differently than the page does; each is one character, so that places stay.
_ALIKE: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
    }
)
_EDGES: Final = " \"'.\u2026"
_ENDS: Final = frozenset(".!?\u2026")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a page says word for word, and what was taken from it; the claim is empty where no model has read it."""

    claim: str
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A page that was read and what it said; ``number`` is how a report cites it."""

    number: int
    url: str
    title: str
    quotes: tuple[Quote, ...]

    @property
    def host(self) -> str:
        """Return where it is from."""
        return URL(self.url).host or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A statement of a report, the numbers of its sources, and its figures that stand in none of their quotes."""

    text: str
    sources: tuple[int, ...]
    doubts: tuple[str, ...] = ()


# -- addresses ----------------------------------------------------------------------------------------


def addresses(found: str) -> list[str]:
    """Return the addresses that stand in what a search found, in their order, each once."""
    text = html.unescape(found.replace("\\/", "/"))
    known: dict[str, str] = {}
    for one in _ADDRESS.finditer(text):
        if (url := _url(one[0])) is not None:
            known.setdefault(_same(url), str(url))
    return list(known.values())


def chosen(groups: Sequence[Sequence[str]], *, most: int, of_host: int) -> list[str]:
    """Return the addresses to read: the first of each search, then the second, few of the same host."""
    taken: dict[str, URL] = {}
    for text in itertools.chain.from_iterable(itertools.zip_longest(*groups)):
        if text is None:
            continue
        url = URL(text)
        alike = sum(one.host == url.host for one in taken.values())
        if alike < of_host and len(taken) < most:
            taken.setdefault(_same(url), url)
    return [str(url) for url in taken.values()]


def _url(text: str) -> URL | None:
    bare = text.rstrip(".,;:!?*_~")
    while bare.endswith(")") and bare.count(")") > bare.count("("):
        bare = bare[:-1].rstrip(".,;:!?*_~")
    try:
        url = URL(bare).with_fragment(None)
    except ValueError:
        return None
    return url if url.host and len(str(url)) <= MOST_URL else None


def _same(url: URL) -> str:
    """Return what two addresses of one page have in common."""
    host = (url.host or "").removeprefix("www.")
    return f"{host}{url.path.rstrip('/')}?{url.query_string}"


# -- passages -----------------------------------------------------------------------------------------


def excerpt(question: str, text: str, most: int) -> str:
    """Return the parts of a page that have most of what is asked, in their order, at most so many characters."""
    if len(text) <= most:
        return text
    parts = list(_parts(text))
    shares = overlap(question, {str(at): part for at, part in enumerate(parts)})
    # How a page begins says what it is about.
    order = sorted(range(len(parts)), key=lambda at: (at > 0, -shares[str(at)], at))
    kept, room = [], most
    for at in order:
        if len(parts[at]) < room:
            kept.append(at)
            room -= len(parts[at]) + 1
    return "\n".join(parts[at] for at in sorted(kept))


def sentences(question: str, text: str) -> tuple[Quote, ...]:
    """Return the sentences of a page that hold most of what is asked; none where all hold too little."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    all_ = [one for line in lines for one in _SENTENCE.split(line) if is_quote(one)]
    few = list(dict.fromkeys(one for one in all_ if len(one) <= LONGEST_SENTENCE))
    shares = overlap(question, {str(at): one for at, one in enumerate(few)})
    good = [at for at in range(len(few)) if shares[str(at)] >= LEAST_SHARE]
    best = sorted(good, key=lambda at: (-shares[str(at)], at))[:MOST_SENTENCES]
    return tuple(Quote(claim="", quote=few[at]) for at in sorted(best))


def _parts(text: str) -> Iterable[str]:
    for line in text.splitlines():
        part = ""
        for one in _SENTENCE.split(line) if len(line) > LONGEST_PART else [line]:
            if part and len(part) + len(one) >= LONGEST_PART:
                yield part
                part = ""
            part = f"{part} {one}" if part else one
        for at in range(0, len(part), LONGEST_PART):
            yield part[at : at + LONGEST_PART]


# -- what is checked ----------------------------------------------------------------------------------


def is_quote(text: str) -> bool:
    """Tell whether some words are enough to stand as a quote."""
    return len(text) >= SHORTEST_QUOTE and len(text.split()) >= FEWEST_WORDS


def quotes_of(noted: Sequence[Json], text: str) -> tuple[tuple[Quote, ...], int]:
    """Return of a model's notes those whose quote stands in the page, in the page's words, and how many do not."""
    page = " ".join(text.split())
    alike = page.translate(_ALIKE)
    good: dict[str, Quote] = {}
    missing = 0
    for note in noted:
        wanted = " ".join(str(note["quote"]).split()).translate(_ALIKE).strip(_EDGES)
        place = alike.find(wanted) if is_quote(wanted) else -1
        if place < 0:
            missing += 1
            continue
        end = place + len(wanted)
        words = page[place : end + (page[end : end + 1] in _ENDS)][:LONGEST_QUOTE]
        claim = " ".join(shown(note["claim"]).split())[:LONGEST_CLAIM]
        good.setdefault(words, Quote(claim=claim, quote=words))
    return tuple(good.values()), missing


def findings_of(written: Sequence[Json], sources: Sequence[Source]) -> tuple[list[Finding], int]:
    """Return of a model's statements those that cite a source there is, and how many do not."""
    known = {source.number: source for source in sources}
    good = []
    for one in written:
        cited = tuple(sorted({number for number in one["sources"] if number in known}))
        text = " ".join(_CITED.sub("", shown(visible(one["text"], LONGEST_CLAIM))).split())
        if not cited or not text:
            continue
        said = [quote.quote for number in cited for quote in known[number].quotes]
        good.append(Finding(text=text, sources=cited, doubts=_doubts(text, said)))
    return good, len(written) - len(good)


def _doubts(text: str, said: Iterable[str]) -> tuple[str, ...]:
    """Return the figures of a statement that stand in none of the quotes."""
    known = {_figure(one) for quote in said for one in _NUMBER.findall(quote)}
    return tuple(dict.fromkeys(one for one in _NUMBER.findall(text) if _figure(one) not in known))


def _figure(text: str) -> str:
    """Return a number as it is compared: 1,500 is 1500, and 2,50 is 2.5."""
    if _THOUSANDS.fullmatch(text):
        return re.sub("[.,]", "", text)
    whole, point, part = text.replace(",", ".").partition(".")
    part = part.rstrip("0")
    return f"{whole}.{part}" if point and part else whole
