"""Reading the pages that a search has found: as a polite program that nobody watches."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.robotparser import RobotFileParser

from yarl import URL

from brain_server.errors import Forbidden, KittyError, ProviderError
from brain_server.fetch import Fetcher, Page
from brain_server.routing.privacy import Privacy

# As what we are known in a robots.txt.
NAME: Final = "KITTY"


@dataclass(slots=True, kw_only=True)
class Pages:
    """Reads the pages of one research; what a site says about programs is asked once."""

    fetcher: Fetcher
    privacy: Privacy
    _rules: dict[str, RobotFileParser] = field(default_factory=dict)

    async def read(self, url: str) -> Page:
        """Return a page.

        Raises as the fetcher does, Forbidden ``offline_mode``, and ``robots_refused`` where the site wants no
        programs there.
        """
        self.privacy.check(leaves_house=True, pieces=())
        await self._ask(url)
        page = await self.fetcher.fetch(url)
        if URL(page.url).host != URL(url).host:
            await self._ask(page.url)
        return page

    async def _ask(self, url: str) -> None:
        place = str(URL(url).origin())
        if place not in self._rules:
            self._rules[place] = await self._rules_of(place)
        if not self._rules[place].can_fetch(NAME, url):
            raise Forbidden("robots_refused", "This site wants no programs to read this page")

    async def _rules_of(self, place: str) -> RobotFileParser:
        """Return the rules of a site; where there are none, everything may be read."""
        rules, lines = RobotFileParser(), ""
        try:
            lines = (await self.fetcher.fetch(f"{place}/robots.txt")).text
        except ProviderError as err:
            # Only a clear "there is none" lets us in; who does not answer now may have rules.
            if not is_settled(err):
                raise
        except KittyError:
            lines = ""  # it is nothing that could be rules
        rules.parse(lines.splitlines())
        return rules


def is_settled(err: KittyError) -> bool:
    """Tell whether a page will not be read later, either."""
    status = err.fields.get("http_status")
    if isinstance(err, ProviderError):
        return (
            status is not None
            and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        )
    return err.code != "offline_mode"
