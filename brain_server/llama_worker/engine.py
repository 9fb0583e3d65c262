"""llama.cpp: the only module that imports it. One model, one request at a time, in a process of its own."""

from collections.abc import Callable, Iterator, Sequence
import ctypes
import importlib
from itertools import islice
import json
import math
from pathlib import Path
import re
from typing import Any, Final

import jinja2
import numpy as np

from brain_server.errors import ProviderError
from brain_server.llama_worker import gguf, room
from brain_server.llama_worker.letters import Letters
from brain_server.llama_worker.wire import Ask, Done, Embed, Load, Loaded, Piece, Turn, Vectors
from brain_server.protocol import Json

llama: Any = importlib.import_module("llama_cpp")
native: Any = importlib.import_module("llama_cpp.llama_cpp")
grammars: Any = importlib.import_module("llama_cpp.llama_grammar")
logger: Any = importlib.import_module("llama_cpp._logger")
formats: Any = importlib.import_module("llama_cpp.llama_chat_format")

BATCH: Final = 512
# An answer with less room than this is none.
LEAST_ANSWER: Final = 32
_PIECE_BYTES: Final = 512
# The library's grammar lets a line break stand in a string, where JSON forbids it.
_ANY_CHAR: Final = r'[^"\\]'
_JSON_CHAR: Final = r'[^"\\\x7F\x00-\x1F]'
# What the library's conversion of a schema raises.
_NO_GRAMMAR: Final = (
    AssertionError,
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)


def without_matrix_tiles(library: Any) -> None:
    """Keep a build with AMX from repacking weights: it crashes on 8-bit models."""
    if b"AMX_INT8 = 1" not in library.llama_print_system_info():
        return
    default = library.llama_model_default_params

    def careful() -> Any:
        params = default()
        params.use_extra_bufts = False
        return params

    library.llama_model_default_params = careful


class Engine:
    """A loaded model."""

    def __init__(self, order: Load, stopped: Callable[[], bool]) -> None:
        """Load it; ``stopped`` is asked all the time whether to leave the present request."""
        self._stopped = stopped
        without_matrix_tiles(native)
        self._llama = _load(order)
        self._context = self._llama._ctx.ctx  # noqa: SLF001 - the library shows it nowhere else
        self._vocabulary = self._llama._model.vocab  # noqa: SLF001 - the same
        self._words = self._llama.n_vocab()
        # Kept, because llama.cpp holds only its address.
        self._abort = native.ggml_abort_callback(lambda _: stopped())
        native.llama_set_abort_callback(self._context, self._abort, None)
        self.loaded = Loaded(context=self._llama.n_ctx())
        self._chat = None if order.embedding else Chat(self._llama, self._vocabulary)
        self._eyes = Eyes(order.eyes, self._llama) if order.eyes else None

    def close(self) -> None:
        """Let go of the model."""
        self._llama.close()

    def ask(self, order: Ask) -> Iterator[Piece | Done]:
        """Yield an answer as it comes; ``context_exceeded`` before the first word."""
        if self._chat is None:
            raise ProviderError("model_missing", "This model only makes vectors")
        grammar = _grammar(order.schema) if order.schema is not None else None
        try:
            tokens = self._read(order)
            yield from self._write(order, tokens, grammar)
        except RuntimeError as err:  # llama_decode gave up: it was told to, or it failed
            self._forget()
            if not self._stopped():
                raise ProviderError("provider_failed", f"llama.cpp failed: {err}") from err
            yield Done(id=order.id, tokens_in=0, tokens_out=0, finish="cancelled")

    def embed(self, order: Embed) -> Vectors:
        """Return a vector of length one for each text."""
        if self._chat is not None:
            raise ProviderError("model_missing", "This model makes no vectors")
        try:
            found = np.array(self._llama.embed(list(order.texts)), dtype=np.float32)
        except RuntimeError as err:
            self._forget()
            if not self._stopped():
                raise ProviderError("provider_failed", f"llama.cpp failed: {err}") from err
            raise ProviderError("provider_cut_off", "The vectors were not finished") from err
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found /= np.where(lengths == 0, 1, lengths)
        return Vectors(id=order.id, width=found.shape[1], data=found.tobytes())

    def _read(self, order: Ask) -> list[int]:
        """Return the tokens of the conversation; with pictures, after the model has seen them."""
        assert self._chat is not None  # noqa: S101 - ask() has looked
        pictures = [picture for turn in order.turns for picture in turn.pictures]
        text = self._chat.text(order.turns, self._eyes.marker if self._eyes else "")
        if pictures and self._eyes is None:
            raise ProviderError(
                "model_missing", "This model has no eyes: its mmproj file is not set"
            )
        least = min(order.max_tokens, LEAST_ANSWER)
        if pictures and self._eyes is not None:
            self._forget()
            begin = self._chat.needs_begin(text)
            self._eyes.look(text, pictures, begin, lambda tokens: self._require(tokens, least))
            found: list[int] = self._llama.input_ids[: self._llama.n_tokens].tolist()
            return found
        tokens: list[int] = self._llama.tokenize(
            text.encode(), add_bos=self._chat.needs_begin(text), special=True
        )
        self._require(len(tokens), least)
        return tokens

    def _require(self, tokens: int, least: int) -> None:
        context = self._llama.n_ctx()
        if tokens + least > context:
            raise ProviderError(
                "context_exceeded",
                f"The conversation has {tokens} tokens and the context {context}",
                tokens=tokens,
                context=context,
            )

    def _write(self, order: Ask, tokens: list[int], grammar: Any) -> Iterator[Piece | Done]:
        letters = Letters()
        limit = min(order.max_tokens, self._llama.n_ctx() - len(tokens))
        finish, count, held = "length", 0, list[float]()
        stream = self._llama.generate(tokens, temp=order.temperature, grammar=grammar)
        for token in islice(stream, limit):
            if native.llama_vocab_is_eog(self._vocabulary, token):
                finish = "stop"
                break
            count += 1
            held.append(self._logprob(token))
            if text := letters.feed(self._piece(token)):  # a letter may be several tokens
                yield Piece(text=text, logprobs=tuple(held))
                held = []
        if text := letters.end():
            yield Piece(text=text, logprobs=tuple(held))
        if any(turn.pictures for turn in order.turns):
            self._forget()  # their places hold no tokens to compare the next prompt with
        yield Done(id=order.id, tokens_in=len(tokens), tokens_out=count, finish=finish)

    def _logprob(self, token: int) -> float:
        """Return how likely the model held the token, before a grammar left out the others."""
        pointer = native.llama_get_logits_ith(self._context, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(self._words,))
        top = float(logits.max())
        return float(logits[token]) - top - math.log(float(np.exp(logits - top).sum()))

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        length = native.llama_token_to_piece(
            self._vocabulary, token, buffer, _PIECE_BYTES, 0, False
        )
        return buffer.raw[: max(0, length)]

    def _forget(self) -> None:
        """Drop the conversation that llama.cpp keeps for the next one with the same beginning."""
        self._llama.reset()
        self._llama._ctx.kv_cache_clear()  # noqa: SLF001 - reset() keeps what it may


class Chat:
    """The chat template of a model."""

    def __init__(self, model: Any, vocabulary: Any) -> None:
        """Read the template and what in a text would pass for its marks."""
        template = model.metadata.get("tokenizer.chat_template")
        if not template:
            raise ProviderError(
                "provider_invalid", "The model has no chat template: take one made for chat"
            )

        def text_of(token: int) -> str:
            return "" if token < 0 else native.llama_vocab_get_text(vocabulary, token).decode()

        begin = text_of(model.token_bos())
        self._begin = begin if native.llama_vocab_get_add_bos(vocabulary) else ""
        self._form = formats.Jinja2ChatFormatter(
            template, eos_token=text_of(model.token_eos()), bos_token=begin
        )
        marks = [
            text_of(token)
            for token in range(model.n_vocab())
            if native.llama_vocab_get_attr(vocabulary, token) & native.LLAMA_TOKEN_ATTR_CONTROL
        ]
        longest_first = sorted(filter(None, marks), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def text(self, turns: Sequence[Turn], marker: str) -> str:
        """Return a conversation as the model has learned to read it; a turn cannot forge another."""
        messages = [
            {
                "role": turn.role,
                "content": marker * len(turn.pictures) + self._plain(turn.text, marker),
            }
            for turn in turns
        ]
        try:
            return self._formed(messages)
        except jinja2.TemplateError, ValueError, TypeError:
            pass
        try:  # some know no system role
            return self._formed(_without_system(messages))
        except (jinja2.TemplateError, ValueError, TypeError) as err:
            raise ProviderError(
                "provider_invalid", f"The chat template refused the conversation: {err}"
            ) from err

    def needs_begin(self, text: str) -> bool:
        """Say whether the tokenizer has to begin the text, because the template did not."""
        return bool(self._begin) and not text.startswith(self._begin)

    def _formed(self, messages: list[dict[str, str]]) -> str:
        # Models that would think aloud first are asked not to.
        prompt: str = self._form(messages=messages, enable_thinking=False).prompt
        return prompt

    def _plain(self, text: str, marker: str) -> str:
        plain = self._marks.sub(" ", text)
        return plain.replace(marker, " ") if marker else plain


class Eyes:
    """The part of a model that turns pictures into tokens (its mmproj file)."""

    def __init__(self, path: str, model: Any) -> None:
        """Load it; ``provider_invalid`` when it does not belong to the model."""
        self._tools: Any = importlib.import_module("llama_cpp.mtmd_cpp")
        self._model = model
        # Else it prints what people say.
        self._tools.mtmd_log_set(logger.llama_log_callback, None)
        self._tools.mtmd_helper_log_set(logger.llama_log_callback, None)
        self.marker: str = self._tools.mtmd_default_marker().decode()
        self._handler = formats.MTMDChatHandler(path, verbose=False, use_gpu=False)
        try:
            self._handler._init_mtmd_context(model)  # noqa: SLF001 - else it loads at the first picture
        except ValueError as err:
            raise ProviderError(
                "provider_invalid", f"{Path(path).name} does not belong to this model"
            ) from err

    def look(
        self, text: str, pictures: list[bytes], begin: bool, require: Callable[[int], None]
    ) -> None:
        """Let the model read a text with pictures at its markers; ``require`` may refuse its length."""
        tools = self._tools
        chunks = tools.mtmd_input_chunks_init()
        bitmaps: list[Any] = []
        try:
            bitmaps.extend(
                map(self._bitmap, pictures)
            )  # one by one: the good ones before a bad one
            self._split(text, chunks, bitmaps, begin)
            require(tools.mtmd_helper_get_n_tokens(chunks))
            end = native.llama_pos(0)
            code = tools.mtmd_helper_eval_chunks(
                self._handler.mtmd_ctx,
                self._model._ctx.ctx,  # noqa: SLF001 - the library shows it nowhere else
                chunks,
                native.llama_pos(0),
                native.llama_seq_id(0),
                self._model.n_batch,
                True,
                ctypes.byref(end),
            )
        finally:
            tools.mtmd_input_chunks_free(chunks)
            for bitmap in bitmaps:
                tools.mtmd_bitmap_free(bitmap)
        if code:
            message = f"the picture could not be read: {code}"
            raise RuntimeError(message)
        self._model.n_tokens = end.value
        self._model._requires_eval = False  # noqa: SLF001 - it has just been done

    def _bitmap(self, picture: bytes) -> Any:
        try:
            return self._handler._create_bitmap_from_bytes(picture)  # noqa: SLF001 - no other way in
        except ValueError as err:
            raise ProviderError("provider_invalid", "The picture cannot be read") from err

    def _split(self, text: str, chunks: Any, bitmaps: list[Any], begin: bool) -> None:
        tools, data = self._tools, text.encode()
        words = tools.mtmd_input_text()
        words.text, words.text_len = data, len(data)
        words.add_special, words.parse_special = begin, True
        array = (tools.mtmd_bitmap_p_ctypes * len(bitmaps))(*bitmaps)
        context = self._handler.mtmd_ctx
        if tools.mtmd_tokenize(context, chunks, ctypes.byref(words), array, len(bitmaps)):
            raise ProviderError("provider_invalid", "The picture cannot be put before the model")


def _load(order: Load) -> Any:
    """Load the file; the processor is shared with the brain, so only what is given is used."""
    path = Path(order.path)
    metadata = gguf.read(path)
    # Beyond what it was made for a model of sentences crashes, and others talk nonsense.
    context = min(order.context, metadata.context_length or order.context)
    # Of a text that makes a vector every token must be in one batch.
    batch = context if order.embedding else min(BATCH, context)
    try:
        return llama.Llama(
            order.path,
            n_ctx=context,
            n_batch=batch,
            n_ubatch=batch,
            n_threads=order.threads,
            n_threads_batch=order.threads,
            embedding=order.embedding,
            pooling_type=(
                native.LLAMA_POOLING_TYPE_UNSPECIFIED
                if metadata.pooling or not order.embedding
                else native.LLAMA_POOLING_TYPE_MEAN
            ),
            verbose=False,
        )
    except ValueError as err:
        if "llama_context" in str(err):
            raise room.too_large(room.fits(path, context)) from err
        raise ProviderError(
            "provider_invalid", f"llama.cpp cannot load {path.name}", model=path.name
        ) from err


def _grammar(schema: Json) -> Any:
    try:
        rules: str = grammars.json_schema_to_gbnf(json.dumps(schema))
    except _NO_GRAMMAR as err:
        raise ProviderError(
            "provider_invalid", f"The schema cannot be turned into a grammar: {err!r}"
        ) from err
    return llama.LlamaGrammar.from_string(rules.replace(_ANY_CHAR, _JSON_CHAR), verbose=False)


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages with the words of the system before the first of the user."""
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    rest = [dict(one) for one in messages if one["role"] != "system"]
    if not rest or rest[0]["role"] != "user":
        rest.insert(0, {"role": "user", "content": ""})
    rest[0]["content"] = f"{system}\n\n{rest[0]['content']}".strip()
    return rest
