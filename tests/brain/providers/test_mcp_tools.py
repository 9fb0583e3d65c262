"""What the MCP provider makes of the tools of a server and of their answers, and how it finds a search."""

from typing import Any

import pytest

from brain_server.protocol import Json
from brain_server.providers import Tool, ToolAnswer
from brain_server.providers.mcp import MOST_PAGES, MOST_TOOLS, search_argument, search_tool
from brain_server.providers.mcp.tools import MOST_DESCRIPTION, MOST_SCHEMA
from tests.brain.providers.mcp_house import LIST, Script, scripted

# -- tools --------------------------------------------------------------------------------------------


def listed(**tool: Any) -> Json:
    """Return a tool of a list."""
    return LIST["tools"][0] | tool


async def offered(*tools: Any, **options: Any) -> list[Tool]:
    """Return what becomes of a list of tools."""
    async with scripted(Script(list={"tools": list(tools)}), **options) as mcp:
        return list(await mcp.tools())


async def test_what_is_no_tool_is_not_offered() -> None:
    """Nor what is too large to be shown, or too odd to be called."""
    odd = [
        None,
        "look",
        {"name": "look"},
        listed(name=7),
        listed(name="\u732b"),
        listed(inputSchema=None),
        listed(inputSchema={"type": "array"}),
        listed(inputSchema={"type": "object", "description": "x" * MOST_SCHEMA}),
        listed(annotations=None),
        listed(annotations={"readOnlyHint": "true"}),
        listed(annotations={"readOnlyHint": False}),
    ]
    assert await offered(*odd) == []


async def test_of_two_tools_of_one_name_the_first_is_offered() -> None:
    """A later one cannot take its place."""
    tools = await offered(listed(name="a.b", description="first"), listed(name="a b"))
    assert [(tool.name, tool.description) for tool in tools] == [("a_b", "first")]


async def test_what_a_server_says_of_its_tools_is_made_plain() -> None:
    """Without characters that nobody would see, and not without end."""
    hidden = "Look\u200b\u202e \x1b[0m\U000e0041" + "x" * 2000
    schema = {"type": "object", "properties": {"a\u200bb": {"enum": ["\u202ex", 1, None]}}}
    (tool,) = await offered(listed(description=hidden, inputSchema=schema))
    assert tool.description == ("Look [0m" + "x" * 2000)[:MOST_DESCRIPTION]
    assert tool.parameters == {"type": "object", "properties": {"ab": {"enum": ["x", 1, None]}}}


async def test_a_tool_without_a_description_has_none() -> None:
    """It is offered all the same."""
    (tool,) = await offered({"name": "look", "inputSchema": {"type": "object"}}, tools="look")
    assert (tool.description, tool.read_only) == ("", False)


async def test_not_more_tools_are_offered_than_a_model_can_read() -> None:
    """The first ones, and only they can be called."""
    many = [listed(name=f"t{number}") for number in range(MOST_TOOLS + 5)]
    async with scripted(Script(list={"tools": many})) as mcp:
        assert len(await mcp.tools()) == MOST_TOOLS
        assert (await mcp.call(f"t{MOST_TOOLS}", {})).error


async def test_all_pages_of_a_list_are_read() -> None:
    """Each with the cursor of the one before."""
    pages = [{"tools": [listed(name="a")], "nextCursor": "c1"}, {"tools": [listed(name="b")]}]
    script = Script(list=pages)
    async with scripted(script) as mcp:
        assert [tool.name for tool in await mcp.tools()] == ["a", "b"]
    assert script.asked[-2][0]["params"] == {"cursor": "c1"}


async def test_a_list_without_end_is_ended() -> None:
    """After twenty pages."""
    script = Script(list=LIST | {"nextCursor": "again"})
    async with scripted(script) as mcp:
        await mcp.tools()
    assert script.methods().count("tools/list") == MOST_PAGES


# -- answers ------------------------------------------------------------------------------------------


async def said(**result: Any) -> ToolAnswer:
    """Return what becomes of a result."""
    async with scripted(Script(call=result)) as mcp:
        return await mcp.call("look", {})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": [{"type": "text", "text": "a\u200bb\x07"}]}, "ab"),
        ({"content": [{"type": "audio", "data": "eA=="}]}, "[audio , not shown]"),
        ({"content": [{"type": "resource", "resource": {}}]}, "[something else, not shown]"),
        ({"content": [{"type": "text"}, 7]}, "[something else, not shown]\n" * 2),
        ({"structuredContent": {"a": "\u00e9"}}, '{"a": "\u00e9"}'),
        ({"content": [], "structuredContent": 0}, "0"),
        ({"content": [{"type": "text", "text": "a"}], "structuredContent": {"b": 1}}, "a"),
        ({"content": "none"}, ""),
        ({}, ""),
    ],
)
async def test_an_answer_becomes_text(result: Json, text: str) -> None:
    """Whatever it is made of."""
    assert await said(**result) == ToolAnswer(text=text.rstrip("\n"))


@pytest.mark.parametrize(("flag", "error"), [(True, True), (False, False), ("yes", False)])
async def test_a_failed_answer_is_marked(flag: Any, error: bool) -> None:
    """Only by what says so plainly."""
    assert (await said(content=[], isError=flag)).error is error


async def test_arguments_that_do_not_fit_are_told_to_who_can_mend_them() -> None:
    """To the model, as the answer of the tool."""
    refused = {"error": {"code": -32602, "message": "no \u200bsuch place"}}
    async with scripted(Script(call=refused)) as mcp:
        assert await mcp.call("look", {}) == ToolAnswer(text="no such place", error=True)


# -- the search ---------------------------------------------------------------------------------------


def tool(name: str, description: str = "", *needed: str, **properties: str) -> Tool:
    """Return a tool with parameters of these types."""
    schema = {name: {"type": kind} for name, kind in (properties or {"query": "string"}).items()}
    parameters = {"type": "object", "properties": schema, "required": list(needed)}
    return Tool(name=name, description=description, parameters=parameters, read_only=True)


@pytest.mark.parametrize(
    "name",
    [
        "web_search",
        "brave_web_search",
        "tavily-search",
        "tavily_search",
        "searxng_web_search",
        "search_web",
        "duckduckgo_search",
        "google_search",
        "kagi_search_fetch",
        "web_search_exa",
        "search",
        "Search",
    ],
)
def test_a_web_search_is_found_by_its_name(name: str) -> None:
    """Of every server that people use."""
    others = [tool("fetch", "Fetch a URL", url="string"), tool("search_files"), tool("list_tools")]
    assert search_tool([*others, tool(name)]) == tool(name)


@pytest.mark.parametrize(
    "one",
    [
        tool("search_files"),
        tool("search_repositories"),
        tool("image_search"),
        tool("search_memory", "Search the web of memories"),
        tool("fetch", "Fetch a page of the web", url="string"),
        tool("web_search", count="integer"),
        Tool(name="web_search", description="", parameters={"type": "object"}),
        Tool(name="web_search", description="", parameters={"properties": {"query": 1}}),
    ],
)
def test_what_searches_elsewhere_is_no_web_search(one: Tool) -> None:
    """Nor what takes no words."""
    assert search_tool([one]) is None


def test_of_several_the_plainest_web_search_is_taken() -> None:
    """One for the web before one for anything, and that before one for a part of the web."""
    local, bare = tool("brave_local_search"), tool("search")
    about, web_ = tool("search", "Search the internet"), tool("brave_web_search")
    assert search_tool([]) is None
    assert search_tool([local]) is local
    assert search_tool([local, bare]) is bare
    assert search_tool([local, bare, about]) is about
    assert search_tool([local, bare, about, web_]) is web_
    assert search_tool([web_, tool("tavily_search")]) is web_


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (tool("s", q="string"), "q"),
        (tool("s", "", "text", query="string", text="string"), "text"),
        (tool("s", "", "words", words="string"), "words"),
        (tool("s", words="string"), None),
        (tool("s", query="integer"), None),
    ],
)
def test_the_words_of_a_search_have_their_place(one: Tool, name: str | None) -> None:
    """The known name that is needed, else a known one, else the one that is needed."""
    assert search_argument(one) == name
