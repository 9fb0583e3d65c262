"""The app's page in Home Assistant: how the brain is, its log, and with whom it is paired.

Plain HTML that the Supervisor fetches for people. Only its address is answered: every other app of the house reaches
our port, too, and whatever it claims in a header is a claim.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
import hashlib
import hmac
from html import escape
import logging
import secrets
from typing import Final

from aiohttp import web

from brain_server import __version__
from brain_server.addon.lines import Lines
from brain_server.addon.texts import LANGUAGES, language_of
from brain_server.observability import OFF
from brain_server.protocol import Json

_LOGGER = logging.getLogger(__name__)

# The Supervisor in the network of the apps, which is the same in every house.
SUPERVISOR: Final = "172.30.32.2"
# Of the person who looks, by the Supervisor; missing when nobody is logged in.
USER_HEADER: Final = "X-Remote-User-Id"
LEVELS: Final = {
    "all_lines": logging.DEBUG,
    "from_info": logging.INFO,
    "from_warning": logging.WARNING,
    "from_error": logging.ERROR,
}
STYLE: Final = """
:root { color-scheme: light dark; --text: #141414; --soft: #5a5a5a; --card: #fff; --back: #fafafa;
  --line: #e0e0e0; --blue: #03689f; --good: #1c6b32; --bad: #b71c1c; }
@media (prefers-color-scheme: dark) { :root { --text: #e1e1e1; --soft: #a8a8a8; --card: #1c1c1c; --back: #111;
  --line: #3a3a3a; --blue: #4cc2f5; --good: #6fcf83; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 1rem/1.5 Roboto, system-ui, sans-serif; }
nav { display: flex; flex-wrap: wrap; border-block-end: 1px solid var(--line); background: var(--card);
  padding-inline: .5rem; }
nav a { padding: .8rem; color: var(--text); text-decoration: none; border-block-end: 3px solid transparent; }
nav a[aria-current] { border-color: var(--blue); color: var(--blue); }
main { max-width: 60rem; margin-inline: auto; padding: 1rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem;
  margin-block-end: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; font-weight: 500; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; font-weight: 500; margin: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: start; padding: .4rem .5rem .4rem 0; border-block-end: 1px solid var(--line);
  vertical-align: top; font-weight: 400; } th { overflow-wrap: normal; padding-inline-end: 1rem; }
thead th { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.soft { color: var(--soft); } a { color: var(--blue); } ol { list-style: none; padding: 0; }
ol li { border-block-end: 1px solid var(--line); padding-block: .3rem; font: .875rem/1.5 monospace; }
button { font: inherit; padding: .5rem 1rem; border-radius: 8px; border: 1px solid var(--blue); color: var(--blue);
  background: transparent; } button.bad { border-color: var(--bad); color: var(--bad); }
label { display: block; margin-block: .5rem; } p a[aria-current] { color: var(--text); text-decoration: none; }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; }
"""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the page tells of the brain, and the two things that it can do there."""

    instance_id: str
    public_key: str
    health: Callable[[], Awaitable[Json]]
    is_paired: Callable[[], Awaitable[bool]]
    is_connected: Callable[[], bool]
    is_announced: Callable[[], bool]
    announce: Callable[[], None]
    unpair: Callable[[], Awaitable[None]]


class Pages:
    """Serves the page, to the Supervisor alone."""

    def __init__(self, known: Known, lines: Lines, peer: str = SUPERVISOR) -> None:
        """Take what there is to tell; ``peer`` is the one address that is answered."""
        self._known = known
        self._lines = lines
        self._peer = peer
        self._since = datetime.now(UTC).astimezone()
        # Shown in each form: no other page can make a person's browser send one.
        self._stamp = secrets.token_urlsafe(32)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve at the top, where the Supervisor's proxy begins."""
        router.add_get("/", self._status)
        router.add_get("/logs", self._logs)
        router.add_get("/pairing", self._pairing)
        router.add_post("/pairing", self._change)

    async def _status(self, request: web.Request) -> web.Response:
        text = self._texts(request)
        health = await self._known.health()
        rows = "".join(
            f"<tr><th scope=row>{escape(name)}</th>{_state(part, text)}</tr>"
            for name, part in sorted(health["parts"].items())
        )
        well = health["status"] == "ok"
        verdict = _tag("well" if well else "ill", "good" if well else "bad", text)
        facts = {
            "home_assistant": text[await self._link()],
            "version": __version__,
            "running_since": f"{self._since:%Y-%m-%d %H:%M %Z}",
        }
        body = (
            f"<section><h1>{verdict}</h1>{_facts(facts, text)}<p><a href='./'>{text['refresh']}</a></p></section>"
            f"<section><table><thead><tr><th scope=col>{text['part']}</th>"
            f"<th scope=col>{text['state']}</th></tr></thead><tbody>{rows}</tbody></table></section>"
        )
        return self._page(request, "status", body)

    async def _logs(self, request: web.Request) -> web.Response:
        text = self._texts(request)
        chosen = request.query.get("level", "from_info")
        chosen = chosen if chosen in LEVELS else "from_info"
        links = " · ".join(
            f"<a href='logs?level={name}'{' aria-current=true' if name == chosen else ''}>{text[name]}</a>"
            for name in LEVELS
        )
        lines = "".join(
            f"<li><span class=soft>{line.at:%Y-%m-%d %H:%M:%S} {escape(line.source)}</span> "
            f"<span class={'bad' if line.level >= logging.ERROR else 'text'}>"
            f"{logging.getLevelName(line.level)}</span> <span>{escape(line.text)}</span></li>"
            for line in self._lines.newest(LEVELS[chosen])
        )
        shown = f"<ol>{lines}</ol>" if lines else f"<p>{text['no_lines']}</p>"
        return self._page(
            request, "logs", f"<section><h1>{text['logs']}</h1><p>{links}</p>{shown}</section>"
        )

    async def _pairing(self, request: web.Request, said: str | None = None) -> web.Response:
        text = self._texts(request)
        link = await self._link()
        print_ = hashlib.sha256(base64.b64decode(self._known.public_key)).hexdigest()[:32]
        facts = {
            "home_assistant": text[link],
            "identity": escape(self._known.instance_id),
            "fingerprint": " ".join(print_[at : at + 4] for at in range(0, len(print_), 4)),
        }
        way = text["how_to_pair" if link == "unpaired" else "is_paired"]
        announced = "announced" if self._known.is_announced() else "not_announced"
        stamp = f"<input type=hidden name=stamp value='{self._stamp}'>"
        body = (f"<section role=status><p>{text[said]}</p></section>" if said else "") + (
            f"<section><h1>{text['pairing']}</h1>{_facts(facts, text)}<p>{way}</p>"
            f"<p>{text[announced]}</p><form method=post action=pairing>{stamp}"
            f"<button name=do value=announce>{text['announce']}</button></form></section>"
        )
        if link == "away":
            body += (
                f"<section><h2>{text['forget_title']}</h2><p>{text['forget_help']}</p>"
                f"<form method=post action=pairing>{stamp}"
                f"<label><input type=checkbox name=sure value=yes> {text['forget_sure']}</label>"
                f"<button class=bad name=do value=forget>{text['forget']}</button></form></section>"
            )
        return self._page(request, "pairing", body)

    async def _change(self, request: web.Request) -> web.Response:
        """Do what a person who is logged in asked for in one of our own forms."""
        self._texts(request)
        user = request.headers.get(USER_HEADER)
        if not user:
            raise web.HTTPForbidden
        form = {name: str(value) for name, value in (await request.post()).items()}
        return await self._pairing(request, await self._do(form, user))

    async def _do(self, form: Mapping[str, str], user: str) -> str:
        """Carry out a form; returns what is said of it."""
        if not hmac.compare_digest(form.get("stamp", "").encode(), self._stamp.encode()):
            return "try_again"
        match form.get("do"), form.get("sure"):
            case "announce", _:
                self._known.announce()
                return "again"
            # Home Assistant lets everybody who is logged in come here, and says only their id.
            case "forget", _ if self._known.is_connected():
                return "in_use"
            case "forget", "yes":
                _LOGGER.warning("User %s has the brain forget its Home Assistant", user)
                await self._known.unpair()
                return "forgotten"
            case _:
                return "tick_first"

    async def _link(self) -> str:
        """Return the word for how Home Assistant stands to this brain."""
        if self._known.is_connected():
            return "connected"
        return "away" if await self._known.is_paired() else "unpaired"

    def _texts(self, request: web.Request) -> Mapping[str, str]:
        """Return the texts for a person; 403 for whoever does not come by the Supervisor."""
        if request.remote != self._peer:
            raise web.HTTPForbidden
        return LANGUAGES[language_of(request.headers.get("Accept-Language", ""))]

    def _page(self, request: web.Request, name: str, body: str) -> web.Response:
        text = self._texts(request)
        language = language_of(request.headers.get("Accept-Language", ""))
        places = {"status": "./", "logs": "logs", "pairing": "pairing"}
        links = "".join(
            f"<a href='{place}'{' aria-current=page' if one == name else ''}>{text[one]}</a>"
            for one, place in places.items()
        )
        page = (
            f"<!doctype html><html lang={language}><head><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            f"<title>KITTY · {text[name]}</title><style>{STYLE}</style></head>"
            f"<body><nav aria-label=KITTY>{links}</nav><main>{body}</main></body></html>"
        )
        return web.Response(text=page, content_type="text/html", headers=HEADERS)


def _state(part: Json, text: Mapping[str, str]) -> str:
    if part["ok"]:
        return f"<td class=good>{text['off' if part['detail'] == OFF else 'ok']}</td>"
    return f"<td class=bad>{escape(str(part['detail']))}</td>"


def _tag(word: str, kind: str, text: Mapping[str, str]) -> str:
    return f"<span class={kind}>{text[word]}</span>"


def _facts(facts: Mapping[str, str], text: Mapping[str, str]) -> str:
    """Return a table of what is named by words of the texts; the values are HTML."""
    rows = "".join(
        f"<tr><th scope=row class=soft>{text[name]}</th><td>{value}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"
