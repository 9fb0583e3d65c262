"""What a model wants done and a person must say yes to: asked in our own words, run on a plain yes."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from brain_server.conversation import words
from brain_server.conversation.first_tier import FirstTier
from brain_server.conversation.rules import compile_home, understand
from brain_server.conversation.rules.model import Act, Cancel, Confirm, Here, Home
from brain_server.conversation.tools import READ, REQUEST, SEARCH, Ran, Toolbox
from brain_server.conversation.trust import shown
from brain_server.errors import KittyError
from brain_server.protocol import Json
from brain_server.routing import Reply, Tier, TierName, Turn

if TYPE_CHECKING:
    from brain_server.conversation.rules.names import CompiledHome


@cache
def _nobody() -> CompiledHome:
    """Return a home in which there is nothing: what is left are yes and no. Made when it is first needed."""
    return compile_home(Home())


class Proposals(Tier):
    """Asks what must be asked, and hears the answer in the next turn."""

    name: ClassVar[TierName] = TierName.LOCAL

    def __init__(
        self,
        first: FirstTier,
        toolbox: Toolbox,
        search: Callable[[str, str], Awaitable[str]],
        read: Callable[[str, str], Awaitable[str]],
    ) -> None:
        """Take the first tier, whose words these are, the tools, and the web."""
        self._first = first
        self._toolbox = toolbox
        self._search = search
        self._read = read

    async def ask(self, turn: Turn, ran: Ran, *, foreign: bool) -> Reply:
        """Return the question that a paused chain waits for."""
        if ran.event is not None:
            return await self._first.asked(turn, ran.event)
        proposal: Json = ran.proposal or {}
        arguments = proposal["arguments"]
        turn.state["open"] = {"proposal": proposal}
        device = (
            self._first.name_of(str(arguments.get("device_id")))
            if proposal["tool"] == REQUEST
            else None
        )
        text = words.proposal(
            proposal["tool"], arguments, device, foreign=foreign, what=proposal.get("what")
        )
        return Reply(text=text, confidence=1.0, reason="proposed", asks=True)

    async def answer(self, turn: Turn) -> Reply | None:
        """Run or drop what was proposed; anything but yes and no drops it and passes."""
        proposal = (turn.state.get("open") or {}).get("proposal")
        if proposal is None:
            return None
        meant = understand(turn.text, _nobody(), Here(pending=True))
        turn.state.pop("open")
        chain = turn.state.get("chain") or {}
        if isinstance(meant, Confirm):
            reply = await self._run(turn, proposal)
            if chain and not (turn.state.get("open") or {}):
                chain["outcome"] = reply.text
            return reply
        turn.state.pop("chain", None)
        if isinstance(meant, Cancel):
            return Reply(text=words.LEFT, confidence=1.0, reason="proposal_denied")
        return None

    async def _run(self, turn: Turn, proposal: Json) -> Reply:
        tool, arguments = proposal["tool"], proposal["arguments"]
        try:
            if tool == REQUEST:
                act = Act(
                    intent=str(arguments["intent"]),
                    device_ids=(str(arguments["device_id"]),),
                    params=arguments.get("params") or {},
                )
                reply = await self._first.act(turn, act)
                if (chain := turn.state.get("chain")) and reply.data.get("tool_calls"):
                    chain["command_id"] = reply.data["tool_calls"][-1]["result"]["id"]
                return reply
            if tool == SEARCH:
                found = await self._search(str(arguments.get("question", "")), turn.conversation_id)
                return _found(found)
            if tool == READ:
                return _found(await self._read(arguments["url"], turn.conversation_id))
            if (other := self._toolbox.other(tool, turn.caller)) is not None:
                ran = await other.run(arguments)
                return Reply(text=shown(ran.text), confidence=1.0, reason="proposal_done")
            answer = await self._toolbox.in_house(tool, arguments, turn.caller, confirmed=True)
        except KittyError as err:
            return Reply(text=words.refused(err), confidence=1.0, reason=err.code)
        except TimeoutError:
            return Reply(text=words.NO_NEWS, confidence=1.0, reason="timeout")
        text = words.PROPOSAL_FAILED if answer.get("error") else words.PROPOSAL_DONE
        call = {"name": tool, "arguments": arguments, "result": answer.get("result") or {}}
        return Reply(
            text=text,
            confidence=1.0,
            reason="proposal_done",
            data={"tool_calls": [call | {"error": bool(answer.get("error"))}]},
        )


def _found(text: str) -> Reply:
    return Reply(text=shown(text), confidence=1.0, reason="searched", outside=True)
