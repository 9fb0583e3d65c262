"""What should be bought: people decide about it, and nothing here ever buys."""

from typing import Final, Literal

from sqlalchemy import Connection, update

from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.errors import Conflict, NotFound
from brain_server.inventory import rows, shortage
from brain_server.inventory.asked import Id
from brain_server.inventory.books import Books, Touched
from brain_server.protocol import Json
from brain_server.storage.tables import proposals

type Status = Literal["proposed", "approved", "rejected", "done"]
type Decision = Literal["approve", "reject", "done"]

_BECOMES: Final = {"approve": "approved", "reject": "rejected", "done": "done"}
_FROM: Final = {
    "approve": ("proposed",),
    "reject": ("proposed", "approved"),
    "done": ("proposed", "approved"),
}


class ProposalsPage(Page):
    """A part of the list of proposals: those that wait for somebody, or those of a status."""

    status: Status | None = None


class Decide(Params):
    """What a person makes of a proposal; ``done``: it was bought, or is on its way."""

    proposal_id: Id
    decision: Decision


class Procurement:
    """Keeps the list of what to buy."""

    def __init__(self, books: Books) -> None:
        """Take the books."""
        self._books = books

    async def open(self) -> list[Json]:
        """Return the proposals that wait for a decision or for their spools."""
        return await self._books.read(
            lambda connection: rows.proposal_views(connection, shortage.to_show())
        )

    @command(
        "procurements.list",
        Scope.READ,
        read_only=True,
        tool="List filament that should be bought: material, grams, likely cost, and who approved it.",
    )
    async def list(self, _caller: Caller, params: ProposalsPage) -> Json:
        """List what should be bought, oldest first."""
        chosen = (
            shortage.to_show() if params.status is None else proposals.c.status == params.status
        )
        after = proposals.c.id > (params.cursor or "")
        found = await self._books.read(
            lambda connection: rows.proposal_views(connection, chosen, after)
        )
        return as_page(found[: params.limit + 1], params)

    @command("procurements.decide", Scope.CONTROL)
    async def decide(self, caller: Caller, params: Decide) -> Json:
        """Approve, reject or finish a proposal; who did is written down."""
        who = caller.user_id or caller.name
        values: Json = {
            "status": _BECOMES[params.decision],
            "decided_by": None if who is None else who[:64],
            "decided_at": self._books.clock(),
        }
        same = proposals.c.id == params.proposal_id

        def work(connection: Connection, touched: Touched) -> Json:
            open_ = proposals.c.status.in_(_FROM[params.decision])
            done = connection.execute(update(proposals).where(same, open_).values(values)).rowcount
            found = rows.proposal_views(connection, same)
            if not found:
                raise NotFound("proposal_not_found", "There is no such proposal")
            if done != 1:
                status = found[0]["status"]
                raise Conflict("already_decided", f"This proposal is {status}", status=status)
            touched.proposals.add(params.proposal_id)
            touched.materials.add(found[0]["material"])
            return found[0]

        return await self._books.write(work)
