"""A server of tools that finds what a test says."""

from typing import ClassVar

from brain_server.protocol import Json
from brain_server.providers import (
    Option,
    ProviderInfo,
    TierName,
    Tool,
    ToolAnswer,
    ToolServer,
)

SCHEMA: Json = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
}


class WebDouble(ToolServer):
    """A web on strings: ``found`` is what every search finds; ``asked`` what was looked for."""

    name: ClassVar[str] = "web_double"
    title: ClassVar[str] = "Web double"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="url", label="URL", help="", required=False),
    )
    tier: ClassVar[TierName] = TierName.MCP
    found: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []

    async def check(self) -> ProviderInfo:
        """Be there."""
        return ProviderInfo(models=(), model=None, context=None)

    async def tools(self) -> tuple[Tool, ...]:
        """Offer a search."""
        return (Tool(name="web_search", description="Search the web", parameters=SCHEMA),)

    async def call(self, tool: str, arguments: Json) -> ToolAnswer:
        """Find what the test says."""
        del tool
        self.asked.append(str(arguments["query"]))
        return ToolAnswer(text="\n".join(self.found))
