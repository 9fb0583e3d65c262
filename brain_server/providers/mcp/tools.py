"""Tools of a server as a model may see them, what they answer as text, and which one searches the web."""

from collections.abc import Iterator, Sequence
import json
import logging
import re
from typing import Any, Final

from brain_server.fetch import plain
from brain_server.protocol import Json
from brain_server.providers import Tool, ToolAnswer

_LOGGER = logging.getLogger(__name__)

MOST_DESCRIPTION: Final = 1024
MOST_SCHEMA: Final = 16 * 1024
MOST_ANSWER: Final = 64 * 1024
_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")


def tool_of(raw: Any) -> Tool | None:
    """Return a tool as a model may see it, None for what is none, or too large to be shown."""
    if not isinstance(raw, dict):
        return None
    name, schema = raw.get("name"), raw.get("inputSchema")
    if not isinstance(name, str) or not isinstance(schema, dict) or schema.get("type") != "object":
        return None
    offered = _NAME.sub("_", name)[:64].strip("_")
    if not offered or len(json.dumps(schema)) > MOST_SCHEMA:
        _LOGGER.warning("Tool %r is not offered: no name, or too large", name[:64])
        return None
    annotations = raw.get("annotations")
    return Tool(
        name=offered,
        description=plain(str(raw.get("description") or ""), MOST_DESCRIPTION),
        parameters=_cleaned(schema),
        read_only=isinstance(annotations, dict) and annotations.get("readOnlyHint") is True,
    )


def _cleaned(value: Any) -> Any:
    """Return a schema without characters that a person would not see."""
    match value:
        case dict():
            return {plain(name, MOST_DESCRIPTION): _cleaned(part) for name, part in value.items()}
        case list():
            return [_cleaned(part) for part in value]
        case str():
            return plain(value, MOST_DESCRIPTION)
        case _:
            return value


def answer_of(result: Json) -> ToolAnswer:
    """Return what a tool said as text; what is no text is named."""
    if result.get("resultType", "complete") != "complete":
        return ToolAnswer(text="The tool wants to ask back, which is not possible here", error=True)
    content = result.get("content")
    parts = [_part(part) for part in content] if isinstance(content, list) else []
    if not parts and (structured := result.get("structuredContent")) is not None:
        parts = [json.dumps(structured, ensure_ascii=False)]
    text = plain("\n".join(parts), MOST_ANSWER).encode()[:MOST_ANSWER].decode(errors="ignore")
    return ToolAnswer(text=text, error=result.get("isError") is True)


def _part(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio" as kind}:
            return f"[{kind} {part.get('mimeType', '')}, not shown]"
        case {"type": "resource_link", "uri": uri}:
            return f"[resource {uri}]"
        case {"type": "resource", "resource": {"uri": uri}}:
            return f"[resource {uri}]"
        case _:
            return "[something else, not shown]"


_ENGINES: Final = re.compile(
    r"web|internet|online|brave|tavily|searx|duckduckgo|ddg|google|bing|kagi|exa|serp|perplexity|jina"
)
# A search in something that is not the web, or for something that is no text.
_ELSEWHERE: Final = re.compile(
    r"image|video|news|local|place|map|file|folder|code|repo|issue|mail|memor|note|history|calendar|"
    r"contact|chat|message|document|database|playlist|music|product|shop|entit|device"
)
_WORDS: Final = re.compile(r"\b(?:web|internet|search engine)\b", re.IGNORECASE)
_QUERY: Final = ("query", "q", "search_query", "question", "search", "keywords", "text", "input")


def search_tool(tools: Sequence[Tool]) -> Tool | None:
    """Return the tool that searches the web, None where none does."""
    judged = ((_likeness(tool), -place, tool) for place, tool in enumerate(tools))
    best = max(judged, default=(0, 0, None), key=lambda one: one[:2])
    return best[2] if best[0] > 0 else None


def search_argument(tool: Tool) -> str | None:
    """Return the parameter of a search tool that takes the words, None where it has none."""
    texts = list(_texts(tool.parameters))
    needed = [name for name in texts if name in (tool.parameters.get("required") or ())]
    known = [name for name in _QUERY if name in texts]
    return next(iter([*(name for name in known if name in needed), *known, *needed]), None)


def _likeness(tool: Tool) -> int:
    """Return how much a tool looks like a web search; 0: not at all."""
    name = tool.name.lower()
    if "search" not in name or search_argument(tool) is None:
        return 0
    if _ENGINES.search(name):
        return 1 if _ELSEWHERE.search(name) else 4
    if _ELSEWHERE.search(name):
        return 0
    return 3 if _WORDS.search(tool.description) else 2


def _texts(schema: Json) -> Iterator[str]:
    properties = schema.get("properties")
    for name, part in properties.items() if isinstance(properties, dict) else ():
        if isinstance(part, dict) and part.get("type") == "string":
            yield name
