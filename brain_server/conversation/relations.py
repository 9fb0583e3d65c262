"""What can do what, and what needs what: the parts of KITTY as a graph that can be asked.

Nodes are named ``kind:name``: models and tool servers, what they are used for, devices, what they can do,
their zones, the power supplies behind them, and the parts of the process. The graph is read from what there
is at the moment of the question; nothing is stored that could be out of date.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from brain_server.commands import Caller, Params, Scope, command
from brain_server.conversation.trust import plain_name
from brain_server.devices.live import Live
from brain_server.errors import NotFound, Unavailable
from brain_server.protocol import Json
from brain_server.providers import Use
from brain_server.routing.models import Models

CAN: Final = "can"
NEEDS: Final = "needs"
BELONGS: Final = "belongs_to"
MOST_EDGES: Final = 2_000
# What each ability of the process stands on.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ability:gate": ("part:safety_database",),
    "ability:conversation": ("part:brain_database", "ability:gate"),
    "ability:home commands": ("part:home_assistant",),
    "ability:memory": ("part:brain_database",),
    "ability:fabrication": ("part:brain_database", "ability:gate"),
}

type Edge = tuple[str, str, str]


class Query(Params):
    """Which relations; ``of`` is a node. ``transitive`` also returns what is reached over others."""

    relation: Literal["can", "needs", "belongs_to"] | None = None
    of: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    # "out": what the node can or needs; "in": who can do it, or needs it.
    direction: Literal["out", "in"] = "out"
    transitive: bool = False


class Worker(Params):
    """Which model is best for a use right now."""

    use: Use


class Relations:
    """Answers questions about the graph."""

    def __init__(
        self,
        models: Models,
        devices: Callable[[], Iterable[Live]],
        load: Callable[[str], int],
    ) -> None:
        """Take the models, the devices, and how many steps a model is working on."""
        self._models = models
        self._devices = devices
        self._load = load

    @command(
        "relations.query",
        Scope.READ,
        read_only=True,
        tool="Ask what can do what, and what depends on what.",
    )
    async def query(self, _caller: Caller, params: Query) -> Json:
        """Return the relations that fit, each as from, relation, to."""
        edges = self.edges()
        known = {node for edge in edges for node in (edge[0], edge[2])}
        if params.of is not None and params.of not in known:
            raise NotFound("node_not_found", "There is no such node", node=params.of)
        found = [edge for edge in edges if params.relation in (None, edge[1])]
        if params.of is not None:
            found = _around(found, params.of, params.direction, transitive=params.transitive)
        items = [{"from": one, "relation": what, "to": other} for one, what, other in found]
        return {"items": items[:MOST_EDGES]}

    @command("relations.worker", Scope.READ, read_only=True)
    async def worker(self, _caller: Caller, params: Worker) -> Json:
        """Return the least busy healthy model for a use; Unavailable ``no_worker`` where there is none."""
        able = [one for one in self._models.of_use(params.use) if one.breaker.is_ready]
        if not able:
            raise Unavailable("no_worker", "No healthy model can do this", use=params.use.value)
        best = min(able, key=lambda one: self._load(one.row.id))
        return {"id": best.row.id, "name": best.row.name, "load": self._load(best.row.id)}

    def edges(self) -> list[Edge]:
        """Return the whole graph."""
        found: list[Edge] = [
            (ability, NEEDS, part) for ability, parts in PARTS.items() for part in parts
        ]
        for model in self._models.all():
            name = f"provider:{model.row.name}"
            found += [(name, CAN, f"use:{use}") for use in sorted(model.row.uses)]
            found += [(f"use:{use}", NEEDS, name) for use in sorted(model.row.uses)]
            if model.words is None:
                found.append((name, CAN, "use:search"))
            found.append((name, BELONGS, f"tier:{model.row.tier.value}"))
        lives = {live.record.id: live for live in self._devices()}
        for live in lives.values():
            found += self._of_device(live, lives)
        return found

    def _of_device(self, live: Live, lives: Mapping[str, Live]) -> list[Edge]:
        name = _name(live)
        found: list[Edge] = [
            (name, CAN, f"intent:{one}") for one in sorted(live.record.capabilities)
        ]
        found.append((name, NEEDS, "ability:gate"))
        if live.driver.executes_in_home_assistant:
            found.append((name, NEEDS, "part:home_assistant"))
        if live.record.zone_id:
            found.append((name, BELONGS, f"zone:{live.record.zone_id}"))
        if (fed := lives.get(live.record.feeds or "")) is not None:
            found.append((_name(fed), NEEDS, name))
        return found


def _name(live: Live) -> str:
    return f"device:{plain_name(live.record.name) or live.record.id}"


def _around(edges: list[Edge], node: str, direction: str, *, transitive: bool) -> list[Edge]:
    """Return the edges at a node, or all that are reached from it, each once and nearest first."""
    here, there = (0, 2) if direction == "out" else (2, 0)
    found: list[Edge] = []
    seen, border = {node}, [node]
    while border:
        step = [edge for edge in edges if edge[here] in border and edge not in found]
        found += step
        border = [edge[there] for edge in step if edge[there] not in seen] if transitive else []
        seen.update(border)
    return found
