"""The one fetcher: only the public web, as it was judged, and only what a person would read on it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
import gzip
from ipaddress import ip_address
from pathlib import Path
import ssl
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
import pytest
from yarl import URL

from brain_server import fetch
from brain_server.errors import InvalidRequest, KittyError, ProviderError
from brain_server.fetch import (
    MOST_BYTES,
    MOST_REDIRECTS,
    MOST_TEXT,
    Address,
    Fetcher,
    Page,
    is_neighbour,
    is_public,
    outside,
    plain,
)
from tests.standins.web import serving

LOOPBACK = ip_address("127.0.0.1")
HTML = {"Content-Type": "text/html; charset=utf-8"}


class Names:
    """A resolver: what each name answers, one answer after the other, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        """Take the answers by name, ``_`` for a dot; any other name is this machine."""
        self.answers = {name.replace("_", "."): list(told) for name, told in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Answer."""
        self.asked.append(host)
        told = self.answers.get(host, [["127.0.0.1"]])
        return told.pop(0) if len(told) > 1 else told[0]


def near(address: Address) -> bool:
    """Let a test reach the stand-in on this machine, and nothing else that is not public."""
    return address == LOOPBACK or is_public(address)


def reader(url: str, names: Names | None = None) -> tuple[Fetcher, str]:
    """Return a fetcher that may reach a stand-in, and the stand-in's address under a name."""
    port = URL(url).port
    assert port is not None
    fetcher = Fetcher(ports={80, 443, port}, resolve=names or Names(), allow=near)
    return fetcher, f"http://page.example:{port}"


async def read(answer: Any, path: str = "/page") -> Page:
    """Read one page of a stand-in that answers everything in one way."""
    async with serving(anything=answer) as url:
        fetcher, base = reader(url)
        return await fetcher.fetch(f"{base}{path}")


async def shown(html: str) -> str:
    """Return what is read of some HTML."""
    return (await read(web.Response(body=html.encode(), headers=HTML))).text


async def refusal(fetcher: Fetcher, url: str) -> KittyError:
    """Return the error with which an address is refused."""
    with pytest.raises(KittyError) as caught:
        await fetcher.fetch(url)
    return caught.value


# -- addresses ----------------------------------------------------------------------------------------

TRICKS = {
    # other ways to the files and services of this machine
    "file:///etc/passwd": "scheme",
    "file://localhost/etc/passwd": "scheme",
    "gopher://example.com/_x": "scheme",
    "ftp://example.com/": "scheme",
    "data:text/html,hello": "scheme",
    "javascript:alert(1)": "scheme",
    "ws://example.com/": "scheme",
    "unix:///run/docker.sock": "scheme",
    "//example.com/": "scheme",
    "example.com": "scheme",
    "": "scheme",
    # this machine, in numbers
    "http://127.0.0.1/": "address",
    "http://127.255.255.254/": "address",
    "http://0.0.0.0/": "address",
    "http://2130706433/": "host",
    "http://0x7f000001/": "host",
    "http://0x7f.0.0.1/": "host",
    "http://0177.0.0.1/": "host",
    "http://017700000001/": "host",
    "http://127.1/": "host",
    "http://127.0.1/": "host",
    "http://127.0.0.1.": "address",
    "http://127.0.0.1../": "host",
    "http://127.0.0.01/": "host",
    "http://256.256.256.256/": "host",
    "http://0/": "host",
    "http://0x/": "host",
    "http://example.0x7f/": "host",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/": "address",
    "http://①②⑦.⓪.⓪.①/": "address",
    "http://127。0。0。1/": "address",
    "http://%31%32%37.0.0.1/": "host",
    # the house, and what clouds tell those who ask from inside
    "http://10.0.0.1/": "address",
    "http://172.30.32.2/": "address",
    "http://192.168.1.1/": "address",
    "http://100.64.0.1/": "address",
    "http://169.254.169.254/latest/meta-data/": "address",
    "http://168.63.129.16/": "address",
    "http://192.0.0.192/": "address",
    "http://224.0.0.251/": "address",
    "http://255.255.255.255/": "address",
    "http://198.18.0.1/": "address",
    # IPv6, and IPv4 within it
    "http://[::1]/": "address",
    "http://[::]/": "address",
    "http://[::ffff:127.0.0.1]/": "address",
    "http://[::ffff:7f00:1]/": "address",
    "http://[::ffff:8.8.8.8]/": "address",
    "http://[::127.0.0.1]/": "address",
    "http://[64:ff9b::7f00:1]/": "address",
    "http://[64:ff9b::8.8.8.8]/": "address",
    "http://[64:ff9b:1::1]/": "address",
    "http://[2002:7f00:1::]/": "address",
    "http://[2001:0:7f00:1::]/": "address",
    "http://[fd00:ec2::254]/": "address",
    "http://[fe80::1]/": "address",
    "http://[fe80::1%25eth0]/": "address",
    "http://[2606:4700::1111%25eth0]/": "address",
    "http://[fec0::1]/": "address",
    "http://[ff02::1]/": "address",
    "http://[2001:db8::1]/": "address",
    "http://[v1.x]/": "host",
    "http://[::1": "form",
    "http://[127.0.0.1]/": "form",
    # names that lead here
    "http://localhost/": "address",
    "http://localhost./": "address",
    "http://LOCALHOST/": "address",
    "http://inside.example/": "address",
    "http://mixed.example/": "address",
    "http://mapped.example/": "address",
    "http://zone.example/": "address",
    "https://ⓘⓝⓢⓘⓓⓔ.example/": "address",
    "http://supervisor/": "address",
    # what two programs read differently
    "http://good.example@127.0.0.1/": "credentials",
    "http://user:secret@good.example/": "credentials",
    "http://:@good.example/": "credentials",
    "http://@good.example/": "credentials",
    "http://good.example\\@127.0.0.1/": "form",
    "http://127.0.0.1\\.good.example/": "form",
    "http://good.example#@127.0.0.1/": None,
    "http://good.example?@127.0.0.1/": None,
    "http://127.0.0.1#.good.example/": "address",
    "http://127.0.0.1%00.good.example/": "host",
    "http://127.0.0.1%2f.good.example/": "host",
    "http://good.example%09/": "host",
    "http://good.example /": "form",
    " http://good.example/": "form",
    "http://good.example/\r\nHost: inside": "form",
    "http://go\tod.example/": "form",
    "http:///good.example/": "host",
    "http:good.example": "host",
    "http://a..b/": "host",
    "http://-good.example/": "host",
    "http://" + "a" * 2048 + ".example/": "form",
    # ports
    "http://good.example:22/": "port",
    "http://good.example:8123/": "port",
    "https://good.example:8443/": "port",
    "http://good.example:0/": "port",
    "http://good.example:99999/": "form",
    "http://good.example:80:80/": "form",
}
WORLD: dict[str, list[list[str]]] = {
    "localhost": [["127.0.0.1", "::1"]],
    "localhost_": [["127.0.0.1"]],
    "inside_example": [["192.168.1.1"]],
    "mixed_example": [["93.184.215.14", "10.0.0.1"]],
    "mapped_example": [["::ffff:10.0.0.1"]],
    "zone_example": [["fe80::1%eth0"]],
    "supervisor": [["172.30.32.2"]],
}


@pytest.mark.parametrize("url", [url for url, reason in TRICKS.items() if reason], ids=repr)
async def test_no_spelling_of_an_address_leads_into_the_house(url: str) -> None:
    """Each is refused for the reason that it deserves, before anything is sent."""
    err = await refusal(Fetcher(resolve=Names(**WORLD)), url)
    assert (err.code, err.status, err.fields) == ("url_refused", 400, {"reason": TRICKS[url]})


@pytest.mark.parametrize("url", [url for url, reason in TRICKS.items() if reason is None], ids=repr)
async def test_what_only_looks_like_a_trick_is_asked_for_by_its_real_host(url: str) -> None:
    """The name before the fragment is the one that is looked up."""
    names = Names(good_example=[["10.0.0.1"]])
    err = await refusal(Fetcher(resolve=names), url)
    assert (names.asked, err.fields["reason"]) == (["good.example"], "address")


async def test_the_name_of_this_machine_is_refused_by_the_real_resolver_too() -> None:
    """Without any stand-in."""
    err = await refusal(Fetcher(), "http://localhost/")
    assert err.fields == {"reason": "address"}


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001:81b::200e"],
)
def test_an_address_of_the_public_web_is_public(address: str) -> None:
    """Else nothing could be read."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", ["192.88.99.1", "2001:20::1", "5f00::1", "ff0e::1", "3fff::1"])
def test_an_address_that_is_global_by_number_only_is_not_public(address: str) -> None:
    """Relays, experiments and groups."""
    assert not is_public(ip_address(address))


def test_in_ipv6_a_house_is_what_a_provider_gives_it() -> None:
    """The first 48 bits are the neighbour's, too; a single address of IPv4 is only one's own."""
    own = ip_address("2a02:1234:5678:1::10")
    assert is_neighbour(ip_address("2a02:1234:5678:ff::1"), own)
    assert not is_neighbour(ip_address("2a02:1234:5679:1::10"), own)
    assert is_neighbour(ip_address("93.184.215.14"), ip_address("93.184.215.14"))
    assert not is_neighbour(ip_address("93.184.215.15"), ip_address("93.184.215.14"))


def test_this_machine_knows_its_own_addresses() -> None:
    """Also where no packet could be sent to find out."""
    assert fetch._at_home(LOOPBACK)
    assert not fetch._at_home(ip_address("255.255.255.255"))


# -- connections --------------------------------------------------------------------------------------


async def test_a_name_that_answers_differently_the_second_time_gains_nothing() -> None:
    """It is asked once, and connected to as it was judged."""
    names = Names(page_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with serving(page=web.Response(body=b"judged", headers=HTML)) as url:
        fetcher, base = reader(url, names)
        page = await fetcher.fetch(f"{base}/page")
    assert (page.text, names.asked) == ("judged", ["page.example"])


async def test_a_page_is_read_with_its_host_and_without_anything_private() -> None:
    """No cookie, no referrer, no credential; and not through a proxy of the environment."""
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        headers = HTML | {"Set-Cookie": "a=b", "Location": "/again"}
        return web.Response(status=302 if request.path == "/page" else 200, headers=headers)

    await read(answer)
    first, second = seen
    assert first["Host"].startswith("page.example:")
    wanted = {"Host", "Accept", "Accept-Encoding", "User-Agent", "Connection"}
    assert set(first) == set(second) == wanted


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to what was not judged."""
    async with serving(anything=web.Response(body=b"proxy", headers=HTML)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        page = await read(web.Response(body=b"page", headers=HTML))
    assert page.text == "page"


async def test_a_certificate_of_ones_own_making_is_not_believed(tmp_path: Path) -> None:
    """HTTPS means HTTPS."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=await certified(tmp_path))
    await site.start()
    port = runner.addresses[0][1]
    fetcher, _ = reader(f"http://127.0.0.1:{port}")
    err = await refusal(fetcher, f"https://page.example:{port}/")
    await runner.cleanup()
    assert err.fields == {"reason": "ClientConnectorCertificateError"}


async def certified(folder: Path) -> ssl.SSLContext:
    """Return the context of a server with a certificate that it made itself."""

    def make() -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "page.example")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
        alternative = x509.SubjectAlternativeName([x509.DNSName("page.example")])
        signed = made.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
        pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / "pem").write_bytes(
            key.private_bytes(pem, private, serialization.NoEncryption()) + signed.public_bytes(pem)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pem")
        return context

    return await asyncio.to_thread(make)


async def test_who_does_not_listen_is_told() -> None:
    """As a failure of the page, not of the one who asked."""
    async with serving() as url:
        fetcher, base = reader(url)
    err = await refusal(fetcher, f"{base}/page")
    assert isinstance(err, ProviderError)
    assert (err.code, err.fields) == ("fetch_failed", {"reason": "ClientConnectorError"})


async def test_a_page_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it together, however slowly it drips."""
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=HTML)
        await response.prepare(request)
        for _ in range(50):
            await response.write(b".")
            await asyncio.sleep(0.02)
        return response

    with pytest.raises(ProviderError) as caught:
        await read(drip)
    assert caught.value.fields == {"reason": "no answer within 0.2 s"}


@pytest.mark.parametrize("told", [[], ["not an address"]])
async def test_a_name_without_an_address_is_not_known(told: list[str]) -> None:
    """Nothing to connect to is a failure, not a refusal."""
    err = await refusal(Fetcher(resolve=Names(page_example=[told])), "http://page.example/")
    assert err.code == "fetch_failed"


async def test_a_name_that_nobody_knows_is_a_failure() -> None:
    """As the system's resolver says it."""

    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    err = await refusal(Fetcher(resolve=unknown), "http://page.example/")
    assert err.fields == {"reason": "the name is not known"}


# -- redirects ----------------------------------------------------------------------------------------


def moving(to: str, status: int = 302) -> web.Response:
    """Return the answer that a page has moved."""
    return web.Response(status=status, headers={"Location": to})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_page_that_has_moved_is_found(status: int) -> None:
    """Its new address is the one that is told."""
    routes = {"page": moving("new?x=1#part", status), "new": web.Response(body=b"n", headers=HTML)}
    async with serving(**routes) as url:
        fetcher, base = reader(url)
        page = await fetcher.fetch(f"{base}/page")
    assert (page.url, page.text) == (f"{base}/new?x=1", "n")


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("http://127.0.0.2/", "address"),
        ("http://localhost/", "address"),
        ("//inside.example/", "address"),
        ("http://169.254.169.254/", "address"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://page.example/", "scheme"),
        ("http://user@page.example/", "credentials"),
        ("http://page.example:22/", "port"),
        ("http://[::1", "form"),
        ("http://page.example\\@inside.example/", "form"),
    ],
)
async def test_a_redirect_is_judged_like_the_first_address(to: str, reason: str) -> None:
    """A page may send nobody where it could not go by itself."""
    world = WORLD | {"localhost": [["127.0.0.2"]]}
    async with serving(page=moving(to)) as url:
        fetcher, base = reader(url, Names(**world))
        err = await refusal(fetcher, f"{base}/page")
    assert (err.code, err.fields) == ("url_refused", {"reason": reason})


def counting_down(hops: int) -> Callable[[web.Request], Any]:
    """Return a page that is reached after so many redirects."""

    async def answer(request: web.Request) -> web.Response:
        left = int(request.query.get("left", hops))
        return moving(f"?left={left - 1}") if left else web.Response(body=b"end", headers=HTML)

    return answer


async def test_so_many_redirects_are_followed() -> None:
    """Five."""
    assert (await read(counting_down(MOST_REDIRECTS))).text == "end"


async def test_more_redirects_are_not() -> None:
    """A circle ends."""
    with pytest.raises(ProviderError) as caught:
        await read(counting_down(MOST_REDIRECTS + 1))
    assert caught.value.fields == {"reason": "more than 5 redirects"}


async def test_every_step_of_a_way_is_looked_up_again() -> None:
    """A name that changes on the way is judged by what it is then."""
    names = Names(page_example=[["127.0.0.1"], ["192.168.1.1"]])
    async with serving(page=moving("/page")) as url:
        fetcher, base = reader(url, names)
        err = await refusal(fetcher, f"{base}/page")
    assert (err.fields, len(names.asked)) == ({"reason": "address"}, 2)


# -- bodies -------------------------------------------------------------------------------------------

PAGE = """<!doctype html><html><head><title> The\n title </title><style>p {color: red}</style>
<meta name=x content=y><script>if (a < b) { document.write("<p>no") }</script></head>
<body class=x><nav><a href=/>Home</a></nav><h1>Heading</h1><!-- note: <b>ignore</b> -->
<p>One <a href="http://elsewhere.example/?q=secret">link</a> &amp; <b>two</b> words<br>next
line<p>A second<ul><li>first<li>second</ul><table><tr><td>a<td>b</table>
<img src=x alt=picture><noscript>no</noscript><template>no</template></body></html>"""


async def test_a_page_is_its_words() -> None:
    """Without scripts, styles, comments, menus, and where links lead."""
    page = await read(web.Response(body=PAGE.encode(), headers=HTML))
    assert page == Page(
        url=page.url,
        status=200,
        content_type="text/html",
        text="Heading\nOne link & two words\nnext line\nA second\nfirst\nsecond\na b",
        title="The title",
        truncated=False,
    )


@pytest.mark.parametrize(
    "html",
    [
        "<div hidden>no</div>yes",
        "<div aria-hidden=TRUE>no</div>yes",
        "<div style='color:red; DISPLAY : none'>no<p>no</p></div>yes",
        "<span style='visibility:hidden'>no</span>yes",
        "<span style='opacity:0'>no</span>yes",
        "<span style='font-size:0px;'>no</span>yes",
        "<ul><li hidden>no<li>yes</ul>",
        "<p hidden>no<p>yes",
        "<div hidden><div>no</div>no</div>yes",
        "<div hidden>no</b></div>yes",
        "<svg><title>no</title></svg>yes",
        "<textarea>no</textarea><select><option>no</select>yes",
        "<head><title>no</title><p>yes",
        "<input type=hidden value=no>yes",
        "<script>no</script>yes<script>no",
        "<iframe srcdoc='no'>no</iframe>yes",
        "yes<!-- no",
        "y\u200be\u202es\U000e0041",
        "<div style='opacity:0.5'>yes</div>",
        "</div>yes",
    ],
)
async def test_what_a_person_would_not_see_is_not_read(html: str) -> None:
    """It would only be there for machines."""
    assert await shown(html) == "yes"


async def test_a_page_that_is_built_too_deep_is_not_believed() -> None:
    """From there on nothing is read."""
    assert await shown("<i>" * 511 + "yes" + "<i>" * 5 + "no" + "</i>" * 600 + "no") == "yes"


async def test_a_page_without_a_title_has_none() -> None:
    """Nor is a title made up."""
    assert (await read(web.Response(body=b"<title> </title>x", headers=HTML))).title is None


async def test_a_long_text_is_cut() -> None:
    """And says so."""
    page = await read(
        web.Response(body=b"a" * (MOST_TEXT + 1), headers={"Content-Type": "text/plain"})
    )
    assert (len(page.text), page.truncated) == (MOST_TEXT, True)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "application/xml", "text/xml", "application/rss+xml"]
)
async def test_what_is_no_html_is_read_as_it_is(kind: str) -> None:
    """With what looks like tags."""
    page = await read(web.Response(body=b'{"a": "<b>"}', headers={"Content-Type": kind}))
    assert (page.text, page.content_type) == ('{"a": "<b>"}', kind)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "caf\u00e9".encode(), "caf\u00e9"),
        ("text/plain; charset=iso-8859-1", b"caf\xe9 \x80", "caf\u00e9 \u20ac"),
        ("text/plain; charset=Shift_JIS", "\u732b".encode("shift_jis"), "\u732b"),
        ("text/plain; charset=utf-16le", "cat".encode("utf-16le"), "cat"),
        ("text/plain; charset=unicode_escape", rb"\x41", r"\x41"),
        ("text/plain; charset=zlib", b"cat", "cat"),
        ("text/plain; charset=windows-9999", b"cat", "cat"),
        ("text/plain", b"\xff", "\ufffd"),
        ("text/html", b"<meta charset='windows-1251'>\xea\xee\xf2", "\u043a\u043e\u0442"),
        ("text/html", b"<meta charset=cat>cat", "cat"),
    ],
)
async def test_a_text_is_read_in_its_charset(kind: str, body: bytes, text: str) -> None:
    """Only those of the web; any other is read as UTF-8."""
    page = await read(web.Response(body=body, headers={"Content-Type": kind}))
    assert page.text == text


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "application/octet-stream", "x"])
async def test_what_is_no_text_is_not_read(kind: str) -> None:
    """The kind is told."""
    with pytest.raises(InvalidRequest) as caught:
        await read(web.Response(body=b"x", headers={"Content-Type": kind}))
    assert caught.value.code == "unsupported_type"


async def test_a_page_that_is_not_there_tells_its_status() -> None:
    """What an error page says is of no use."""
    with pytest.raises(ProviderError) as caught:
        await read(web.Response(status=404, body=b"x", headers=HTML))
    assert caught.value.fields == {"reason": "status 404", "http_status": 404}


async def test_a_packed_page_is_unpacked() -> None:
    """As it was asked for."""
    headers = HTML | {"Content-Encoding": "gzip"}
    page = await read(web.Response(body=gzip.compress(b"<p>packed"), headers=headers))
    assert page.text == "packed"


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"x", "br", "packed in a way that was not asked for"),
        (b"x", "gzip, gzip", "packed in a way that was not asked for"),
        (b"not gzip at all", "gzip", "packed wrongly"),
        (gzip.compress(b"whole")[:-9], "gzip", "it ended in the middle"),
    ],
)
async def test_what_is_packed_wrongly_fails(body: bytes, encoding: str, reason: str) -> None:
    """Half of a page is none."""
    with pytest.raises(ProviderError) as caught:
        await read(web.Response(body=body, headers=HTML | {"Content-Encoding": encoding}))
    assert caught.value.fields == {"reason": reason}


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer with more than may be read, without saying so beforehand."""
    response = web.StreamResponse(headers=HTML)
    await response.prepare(request)
    for _ in range(MOST_BYTES // 65536 + 1):
        await response.write(b"x" * 65536)
    return response


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(body=b"x" * (MOST_BYTES + 1), headers=HTML),
        web.Response(
            body=gzip.compress(b"x" * (MOST_BYTES + 1)), headers=HTML | {"Content-Encoding": "gzip"}
        ),
        stream,
    ],
    ids=["announced", "packed", "streamed"],
)
async def test_a_page_that_is_too_large_is_not_read(answer: Any) -> None:
    """Neither announced nor not, neither packed nor not."""
    with pytest.raises(InvalidRequest) as caught:
        await read(answer)
    assert caught.value.code == "too_large"


# -- text from outside --------------------------------------------------------------------------------


def test_text_from_outside_cannot_end_its_own_marks() -> None:
    """They are new each time."""
    first, second = outside("text", "http://x"), outside("text", "http://x")
    opening, text, closing = first.split("\n")
    assert (opening[1:9], text) == (closing[2:10], "text")
    assert first != second


def test_what_a_person_would_not_see_is_taken_out() -> None:
    """Characters without a shape, and those that turn the direction of reading."""
    assert plain("a\x00\x1b[31m\u202eb\u200b\ufeff\U000e0049\ud800c\nd\te", 99) == "a[31mbc\nd\te"


def test_a_plain_text_has_its_bounds() -> None:
    """Cut, not refused."""
    assert plain("abc", 2) == "ab"
