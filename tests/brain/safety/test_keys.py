"""The brain's own secrets: made once, private, and outside of the databases."""

import json
from pathlib import Path
import stat

import pytest

from brain_server.errors import InvalidRequest
from brain_server.protocol import hello_bytes
from brain_server.safety.keys import Keys, hash_pin, pin_matches, public_key, verify


def test_keys_are_made_once_and_then_read(tmp_path: Path) -> None:
    """The same brain after a restart."""
    path = tmp_path / "new" / "keys.json"
    made, read = Keys.load(path), Keys.load(path)
    assert (read.instance_id, read.chain, read.public_key) == (
        made.instance_id,
        made.chain,
        made.public_key,
    )
    assert len(made.chain) == 32


def test_a_brain_proves_who_it_is(tmp_path: Path) -> None:
    """By signing what the other end made up, with its own name in it."""
    keys = Keys.load(tmp_path / "keys.json")
    proof = keys.prove("a nonce")
    message = hello_bytes(nonce="a nonce", instance_id=keys.instance_id)
    assert verify(keys.public_key, proof, message)
    assert not verify(keys.public_key, proof, hello_bytes(nonce="a nonce", instance_id="another"))


def test_two_brains_have_nothing_in_common(tmp_path: Path) -> None:
    """Each makes its own."""
    one, other = (Keys.load(tmp_path / name) for name in ("one", "other"))
    assert one.instance_id != other.instance_id
    assert one.chain != other.chain
    assert one.public_key != other.public_key


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    """And no draft of them is left."""
    path = tmp_path / "keys.json"
    Keys.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_file_that_lost_a_part_of_its_key_stops_the_brain(tmp_path: Path) -> None:
    """It is found when the brain starts, not when it is to sign."""
    path = tmp_path / "keys.json"
    Keys.load(path)
    stored = json.loads(path.read_text("ascii"))
    path.write_text(json.dumps(stored | {"signing": stored["signing"][:-2]}), "ascii")
    with pytest.raises(ValueError, match="damaged"):
        Keys.load(path)


def test_nobody_sees_the_keys_in_what_is_logged(tmp_path: Path) -> None:
    """As text they are nothing but their kind."""
    keys = Keys.load(tmp_path / "keys.json")
    assert not [secret for secret in (keys.chain, keys.seed) if repr(secret) in repr(keys)]


@pytest.mark.parametrize("text", ["", "é", "AAAA", "!" * 44])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Thirty-two bytes in base64."""
    with pytest.raises(InvalidRequest) as refused:
        public_key(text)
    assert refused.value.code == "invalid_key"


def test_a_code_is_kept_as_a_salted_hash() -> None:
    """The same code twice is two different hashes, and neither contains it."""
    one, other = hash_pin("1234"), hash_pin("1234")
    assert one != other
    assert b"1234" not in one
    assert pin_matches("1234", one)
    assert not pin_matches("1235", one)
    assert not pin_matches("1234", None)


def test_the_fingerprint_tells_keys_apart(tmp_path: Path) -> None:
    """The same file has the same one; it tells nothing of what is secret."""
    one, again = (Keys.load(tmp_path / "one") for _ in range(2))
    other = Keys.load(tmp_path / "other")
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert (len(one.fingerprint), one.fingerprint in one.chain.hex()) == (32, False)
