"""A model of sentences that knows some words of a house: a real BERT file for llama.cpp, made here.

No trained weights: each word is a direction, words of one meaning share most of it, and a sentence is
the mean of its words. It knows no grammar; what it knows is in ``MEANINGS``. Other words are told apart
by their pairs of letters.
"""

from itertools import product
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Final

from gguf import GGUFWriter, PoolingType, TokenType
import numpy as np

WIDTH: Final = 128
CONTEXT: Final = 512
SEED: Final = 11

# One line is one meaning.
MEANINGS: Final = (
    "door gate entrance entry",
    "lock locked lockable bolt",
    "unlock unlocked unbolt",
    "light lights lamp lamps bulb lighting illumination",
    "on enable activate",
    "off disable deactivate",
    "open opened",
    "close closed shut",
    "printer printers prusa machine",
    "print prints printing printed model part",
    "filament spool plastic pla petg abs material",
    "temperature degrees celsius warm warmth heat heating hot",
    "cold cool chilly freezing",
    "kitchen cooking cook",
    "food meal dinner lunch breakfast eat eating",
    "coffee espresso tea drink drinks beverage",
    "milk oat soy dairy",
    "allergic allergy intolerant",
    "garage car cars vehicle parking",
    "workshop shop bench tools workbench",
    "garden lawn plants flowers outside outdoor",
    "water watering irrigation sprinkler",
    "bedroom bed sleep sleeping asleep",
    "living lounge sofa couch",
    "music song songs playlist jazz radio",
    "quiet silent silence mute",
    "loud noise noisy volume",
    "birthday anniversary party celebration",
    "child children kid kids daughter son",
    "wife husband partner spouse",
    "dog dogs puppy",
    "cat cats kitten",
    "pet pets animal",
    "likes like love loves prefers prefer favourite favorite enjoys",
    "hates hate dislikes dislike",
    "red crimson",
    "blue navy",
    "green lime",
    "color colour shade",
    "work job office meeting meetings",
    "school class lesson homework",
    "morning dawn sunrise early",
    "evening night late sunset",
    "weekend saturday sunday",
    "holiday vacation trip travel",
    "doctor hospital medicine pills health",
    "money price cost euro euros pay bill",
    "phone number call telephone",
    "password secret code pin",
    "camera picture photo image video",
    "window windows blind blinds curtain curtains",
    "alarm siren alert warning",
    "broken broke failed failure defect fault",
    "repair repaired fix fixed mend",
    "order buy bought purchase shopping",
    "screw screws bolts nuts nut fastener",
    "wood timber oak plywood",
    "metal steel aluminium brass iron",
    "glue adhesive tape",
    "drawer shelf box cabinet bin cupboard storage",
    "where location located place kept stored",
)
# What stands in every sentence says little about it.
SMALL_WORDS: Final = (
    "the a an is are was were be to of in at for with and or my your his her our their it i you he she",
    "we they this that these those has have had do does did will would can could should please what",
    "who when how which there here from by as not no yes . , ? ! ' - : ##s ##ed ##ing ##er ##ly",
)
LETTERS: Final = ascii_lowercase + digits
SAME_MEANING: Final = 0.85


def sentence_gguf(folder: Path, name: str = "sentence") -> Path:
    """Write the model into a folder and return its file; the same bytes every time."""
    path = folder / f"{name}.gguf"
    chance = np.random.default_rng(SEED)
    vectors = _vectors(chance)
    writer = GGUFWriter(path, "bert")
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    writer.add_tokenizer_model("bert")
    # In a file, what begins a word has a mark and what goes on has none.
    pieces = [word.removeprefix("##") if word[:2] == "##" else f"▁{word}" for word in vectors]
    writer.add_token_list([*special, *pieces])
    writer.add_token_types([*[TokenType.CONTROL] * len(special), *[TokenType.NORMAL] * len(pieces)])
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    silent = [_weighed(np.zeros(WIDTH), 0.0)] * len(special)
    _add_weights(writer, np.array([*silent, *vectors.values()], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weighed(direction: np.ndarray, weight: float) -> np.ndarray:
    """Return a token's vector, of a length that the norms keep: the first two places carry the rest.

    The norms make all tokens equally long; the last one blanks those two places, and what is left of
    the token is as long as its weight.
    """
    rest = np.sqrt(1.0 - weight**2) / np.sqrt(2)
    found = direction.copy()
    found[:2] = 0.0
    length = np.linalg.norm(found)
    if length:
        found *= weight / length
    found[:2] = rest, -rest
    return found


def _vectors(chance: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the vocabulary: words of a meaning, small words, and pairs of letters for all others."""
    vectors: dict[str, np.ndarray] = {}
    for line in MEANINGS:
        meaning = _direction(chance)
        for word in line.split():
            own = SAME_MEANING * meaning + np.sqrt(1 - SAME_MEANING**2) * _direction(chance)
            vectors[word] = _weighed(own, 0.9)
    for word in " ".join(SMALL_WORDS).split():
        vectors.setdefault(word, _weighed(_direction(chance), 0.1))
    pairs = ["".join(pair) for pair in product(LETTERS, repeat=2)]
    for piece in [*pairs, *LETTERS]:
        vectors.setdefault(piece, _weighed(_direction(chance), 0.4))
        vectors.setdefault(f"##{piece}", _weighed(_direction(chance), 0.4))
    return vectors


def _direction(chance: np.random.Generator) -> np.ndarray:
    found = chance.standard_normal(WIDTH)
    found[:2] = 0.0
    found[2:] -= found[2:].mean()  # the norms take the mean away
    return found / np.linalg.norm(found)


def _add_weights(writer: GGUFWriter, vectors: np.ndarray) -> None:
    """Add the vectors, and one layer that passes them on as they are."""
    nothing = np.zeros((WIDTH, WIDTH), dtype=np.float16)
    zeros = np.zeros(WIDTH, dtype=np.float32)
    ones = np.ones(WIDTH, dtype=np.float32)
    blank = ones.copy()
    blank[:2] = 0.0
    writer.add_tensor("token_embd.weight", vectors.astype(np.float16))
    writer.add_tensor("token_types.weight", np.zeros((2, WIDTH), dtype=np.float32))
    writer.add_tensor("position_embd.weight", np.zeros((CONTEXT, WIDTH), dtype=np.float32))
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{part}.weight", nothing)
        writer.add_tensor(f"blk.0.{part}.bias", zeros)
    for norm, weight in (
        ("token_embd_norm", ones),
        ("blk.0.attn_output_norm", ones),
        ("blk.0.layer_output_norm", blank),
    ):
        writer.add_tensor(f"{norm}.weight", weight)
        writer.add_tensor(f"{norm}.bias", zeros)
