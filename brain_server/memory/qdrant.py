"""The vectors on a Qdrant server, for more memories than one process should hold. The rows stay the truth."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
import importlib
import logging
from typing import Any, Final

from brain_server.breaker import Breaker
from brain_server.errors import InvalidRequest, ProviderError, Unavailable
from brain_server.memory.embedder import Vector
from brain_server.memory.vectors import Hit, Point
from brain_server.retry import CACHE, retrying

_LOGGER = logging.getLogger(__name__)

COLLECTION: Final = "kitty_memory"
TIMEOUT_S: Final = 5


class Qdrant:
    """A store on a server; raises ProviderError ``provider_*`` and Unavailable ``circuit_open``."""

    name = "qdrant"

    def __init__(self, url: str, api_key: str = "", *, collection: str = COLLECTION) -> None:
        """Take where the server is; nothing is imported or connected yet."""
        self._url = url
        self._key = api_key
        self._collection = collection
        self._client: Any = None
        self._lock = asyncio.Lock()
        self.breaker = Breaker("Qdrant")

    async def put(self, points: Sequence[Point]) -> None:
        """Add points of one model, or replace those of the same id."""
        if not points:
            return
        client, models = await self._ready()
        structs = [
            models.PointStruct(
                id=_uuid(point.id),
                vector=point.vector.values.tolist(),
                payload={"namespace": point.namespace, "embedder": point.vector.embedder},
            )
            for point in points
        ]
        await self._call(lambda: client.upsert(self._collection, structs, wait=True))

    async def search(self, namespaces: Collection[str], near: Vector, limit: int) -> list[Hit]:
        """Return the nearest points of the vector's model in these namespaces, nearest first."""
        client, models = await self._ready()
        inside = models.Filter(
            must=[
                models.FieldCondition(
                    key="namespace", match=models.MatchAny(any=sorted(namespaces))
                ),
                _of_model(models, near.embedder),
            ]
        )
        found = await self._call(
            lambda: client.query_points(
                self._collection,
                query=near.values.tolist(),
                query_filter=inside,
                limit=limit,
                with_payload=False,
            )
        )
        return [Hit(_id(point.id), float(point.score)) for point in found.points]

    async def remove(self, ids: Collection[str]) -> None:
        """Remove points; one that is not there is no error."""
        client, _ = await self._ready()
        gone = [_uuid(one) for one in ids]
        await self._call(lambda: client.delete(self._collection, gone, wait=True))

    async def reset(self, embedder: str, width: int | None) -> None:
        """Forget everything, and be ready for the vectors of a model; None: there are none to come yet."""
        del embedder
        client, models = await self._ready()
        await self._call(lambda: client.delete_collection(self._collection))
        if width is None:
            return
        shape = models.VectorParams(size=width, distance=models.Distance.COSINE)
        await self._call(lambda: client.create_collection(self._collection, vectors_config=shape))
        for field in ("namespace", "embedder"):
            await self._index(client, models, field)

    async def count(self, embedder: str) -> int | None:
        """Return how many points of a model there are; None where there is no collection yet."""
        client, models = await self._ready()
        if not await self._call(lambda: client.collection_exists(self._collection)):
            return None
        only = models.Filter(must=[_of_model(models, embedder)])
        found = await self._call(
            lambda: client.count(self._collection, count_filter=only, exact=True)
        )
        return int(found.count)

    async def vectors(self, ids: Collection[str]) -> dict[str, Vector]:
        """Return the vectors of points, as far as they are there."""
        client, _ = await self._ready()
        found = await self._call(
            lambda: client.retrieve(
                self._collection, [_uuid(one) for one in ids], with_payload=True, with_vectors=True
            )
        )
        import numpy as np  # noqa: PLC0415 - the client has imported it

        return {
            _id(point.id): Vector(
                embedder=str(point.payload["embedder"]),
                values=np.asarray(point.vector, dtype=np.float32),
            )
            for point in found
        }

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _index(self, client: Any, models: Any, field: str) -> None:
        kind = models.PayloadSchemaType.KEYWORD
        await self._call(
            lambda: client.create_payload_index(self._collection, field, field_schema=kind)
        )

    async def _ready(self) -> tuple[Any, Any]:
        """Return the client and its models, imported in a thread on first use: half a second."""
        async with self._lock:
            try:
                package = await asyncio.to_thread(importlib.import_module, "qdrant_client")
            except ImportError as err:
                raise InvalidRequest(
                    "package_missing", "Install kitty-brain[qdrant] to use Qdrant", name="qdrant"
                ) from err
            if self._client is None:
                self._client = await asyncio.to_thread(self._made, package)
        return self._client, package.models

    def _made(self, package: Any) -> Any:
        """Return a client. The header is set by hand: the client warns about keys on a home's own network."""
        return package.AsyncQdrantClient(
            url=self._url,
            timeout=TIMEOUT_S,
            check_compatibility=False,
            headers={"api-key": self._key} if self._key else None,
        )

    async def _call[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the server; a refused connection is tried once more at once."""
        with self.breaker.call():
            try:
                return await retrying(CACHE, lambda: self._once(ask))
            except Unavailable as err:
                raise ProviderError("provider_unreachable", err.message) from err

    async def _once[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        # Imported with the client by now.
        from qdrant_client.common.client_exceptions import QdrantException  # noqa: PLC0415 - 90 MB that only a Qdrant server needs
        from qdrant_client.http.exceptions import ApiException, UnexpectedResponse  # noqa: PLC0415 - 90 MB that only a Qdrant server needs

        try:
            return await ask()
        except UnexpectedResponse as err:
            status = err.status_code or 0
            code = "provider_auth" if status in {401, 403} else "provider_failed"
            raise ProviderError(code, f"Qdrant answered {status}", http_status=status) from err
        except ApiException as err:
            raise _sorted(err) from err
        except QdrantException as err:
            raise ProviderError("provider_busy", "Qdrant asks for a pause") from err
        except (
            AssertionError,
            TypeError,
            ValueError,
        ) as err:  # what its answers are parsed with raises these
            raise ProviderError("provider_invalid", "This is no answer of Qdrant") from err


def _sorted(err: Exception) -> ProviderError | Unavailable:
    """Return what a failed connection means."""
    import httpx  # noqa: PLC0415 - comes with the client

    source = getattr(err, "source", None)
    if isinstance(source, httpx.ConnectError):
        return Unavailable("connection_refused", "Qdrant does not answer")
    if isinstance(source, httpx.HTTPError):
        return ProviderError("provider_unreachable", "Qdrant does not answer")
    return ProviderError("provider_invalid", "This is no answer of Qdrant")


def _of_model(models: Any, embedder: str) -> Any:
    return models.FieldCondition(key="embedder", match=models.MatchValue(value=embedder))


def _uuid(entry: str) -> str:
    """Return an id as Qdrant writes it."""
    return f"{entry[:8]}-{entry[8:12]}-{entry[12:16]}-{entry[16:20]}-{entry[20:]}"


def _id(entry: object) -> str:
    return str(entry).replace("-", "")
