"""A language model of half a megabyte: real file, real tokenizer, real chat template, weights by chance.

What it says is rubbish; how llama.cpp loads, asks, constrains and stops it is the same as for a large one.
"""

from pathlib import Path
from typing import Final

from gguf import GGUFWriter, TokenType
import numpy as np

WIDTH: Final = 64
HEADS: Final = 4
KEY_HEADS: Final = 2
LAYERS: Final = 2
CONTEXT: Final = 4096
SEED: Final = 7
EYE_WIDTH: Final = 32

# ChatML, the form of most small models.
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Like those of some families, which know no system role.
NO_SYSTEM_TEMPLATE: Final = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + CHAT_TEMPLATE
)
LINES: Final = (
    "the a is to and of in on off it you please turn lock unlock open close door light lamp printer",
    "workshop kitchen garage garden room temperature degrees hot cold who what when where why how",
    "many time day morning evening say action arguments text true false null name user assistant",
    "system tool answer yes no not now later red green blue bright dark all one two three",
)
LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"-_/(){}[]"


def _vocabulary() -> tuple[list[str], list[float], list[TokenType]]:
    """Return the pieces of a SentencePiece vocabulary: control, bytes, letters, words."""
    special = [
        ("<unk>", TokenType.UNKNOWN),
        ("<s>", TokenType.CONTROL),
        ("</s>", TokenType.CONTROL),
        ("<|im_start|>", TokenType.CONTROL),
        ("<|im_end|>", TokenType.CONTROL),
        *((f"<0x{byte:02X}>", TokenType.BYTE) for byte in range(256)),
    ]
    words = [word for line in LINES for word in line.split()]
    prefixes = {word[:end] for word in words for end in range(2, len(word) + 1)}
    known = ["▁", *LETTERS, *sorted({*prefixes, *(f"▁{part}" for part in [*LETTERS, *prefixes])})]
    pieces = [*special, *((piece, TokenType.NORMAL) for piece in dict.fromkeys(known))]
    # A merge of two pieces wins by its score: the longer the better.
    scores = [float(len(text)) if kind is TokenType.NORMAL else 0.0 for text, kind in pieces]
    return [text for text, _ in pieces], scores, [kind for _, kind in pieces]


def tiny_gguf(
    folder: Path,
    name: str = "tiny",
    *,
    context: int = CONTEXT,
    template: str | None = CHAT_TEMPLATE,
    seed: int = SEED,
) -> Path:
    """Write the model into a folder and return its file; the same seed makes the same bytes."""
    path = folder / f"{name}.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDTH * 2)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    pieces, scores, kinds = _vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(pieces.index("<|im_end|>"))
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template)
    _add_weights(writer, len(pieces), np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_weights(writer: GGUFWriter, words: int, chance: np.random.Generator) -> None:
    def matrix(name: str, rows: int, columns: int) -> None:
        values = chance.standard_normal((rows, columns)) / np.sqrt(columns)
        writer.add_tensor(name, values.astype(np.float16))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))

    key_width = WIDTH // HEADS * KEY_HEADS
    matrix("token_embd.weight", words, WIDTH)
    ones("output_norm.weight")
    matrix("output.weight", words, WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        matrix(f"{block}.attn_q.weight", WIDTH, WIDTH)
        matrix(f"{block}.attn_k.weight", key_width, WIDTH)
        matrix(f"{block}.attn_v.weight", key_width, WIDTH)
        matrix(f"{block}.attn_output.weight", WIDTH, WIDTH)
        ones(f"{block}.ffn_norm.weight")
        matrix(f"{block}.ffn_gate.weight", WIDTH * 2, WIDTH)
        matrix(f"{block}.ffn_up.weight", WIDTH * 2, WIDTH)
        matrix(f"{block}.ffn_down.weight", WIDTH, WIDTH * 2)


def tiny_eyes(folder: Path, name: str = "eyes", *, width: int = WIDTH) -> Path:
    """Write eyes for the tiny model: a picture becomes four tokens; weights by chance."""
    path = folder / f"{name}.gguf"
    chance = np.random.default_rng(SEED)
    writer = GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("mlp")
    writer.add_vision_image_size(28)
    writer.add_vision_patch_size(14)
    writer.add_vision_embedding_length(EYE_WIDTH)
    writer.add_vision_feed_forward_length(EYE_WIDTH * 2)
    writer.add_vision_block_count(2)  # the last one is not used
    writer.add_vision_head_count(2)
    writer.add_vision_projection_dim(width)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_use_gelu(True)

    def matrix(name: str, *shape: int, bias: bool = True) -> None:
        values = chance.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
        if bias:
            writer.add_tensor(f"{name}.bias", np.zeros(shape[0], dtype=np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(EYE_WIDTH, dtype=np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(EYE_WIDTH, dtype=np.float32))

    matrix("v.patch_embd", EYE_WIDTH, 3, 14, 14, bias=False)
    matrix("v.position_embd", 4, EYE_WIDTH, bias=False)
    norm("v.pre_ln")
    for layer in range(2):
        block = f"v.blk.{layer}"
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            matrix(f"{block}.{part}", EYE_WIDTH, EYE_WIDTH)
        norm(f"{block}.ln1")
        norm(f"{block}.ln2")
        matrix(f"{block}.ffn_up", EYE_WIDTH * 2, EYE_WIDTH)
        matrix(f"{block}.ffn_down", EYE_WIDTH, EYE_WIDTH * 2)
    matrix("mm.0", width, EYE_WIDTH)
    matrix("mm.2", width, width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
