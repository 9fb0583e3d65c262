"""The brain's own secrets: the key that signs grants, the key of the audit chain, the instance id.

They lie in one file that only the brain's user may read, outside both databases, so that whoever can
write a database can neither forge a grant nor rewrite history.
"""

import base64
import binascii
from dataclasses import dataclass
import hashlib
import hmac
import json
import os
from pathlib import Path
import secrets
from typing import TYPE_CHECKING, Final

from brain_server.errors import InvalidRequest
from brain_server.protocol import Json, grant_bytes, hello_bytes
from brain_server.storage.tables import new_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_SEED_BYTES: Final = 32
_SCRYPT: Final = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The secrets of one brain."""

    instance_id: str
    chain: bytes
    # Of the Ed25519 key that signs grants.
    seed: bytes

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read the key file; make it, readable by its owner only and synced, when there is none.

        Raises ValueError when there is no key in it.
        """
        if not path.exists():
            _write_private(
                path,
                {
                    "instance_id": new_id(),
                    "chain": secrets.token_hex(32),
                    "signing": secrets.token_hex(_SEED_BYTES),
                },
            )
        stored = json.loads(path.read_text("ascii"))
        seed = bytes.fromhex(stored["signing"])
        if len(seed) != _SEED_BYTES:
            message = "The key that signs grants is damaged"
            raise ValueError(message)
        return cls(
            instance_id=stored["instance_id"],
            chain=bytes.fromhex(stored["chain"]),
            seed=seed,
        )

    @property
    def fingerprint(self) -> str:
        """Return what tells these keys from others, and nothing more."""
        secret = self.chain + self.seed
        return hashlib.sha256(self.instance_id.encode() + secret).hexdigest()[:32]

    @property
    def public_key(self) -> str:
        """Return the public half of the grant key, base64 of the raw 32 bytes."""
        return base64.b64encode(self._signer().public_key().public_bytes_raw()).decode()

    def prove(self, nonce: str) -> str:
        """Return the base64 Ed25519 signature with which this brain answers a client's nonce."""
        message = hello_bytes(nonce=nonce, instance_id=self.instance_id)
        return base64.b64encode(self._signer().sign(message)).decode()

    def sign(self, grant: Json) -> str:
        """Return the base64 Ed25519 signature of a grant."""
        return base64.b64encode(self._signer().sign(grant_bytes(grant))).decode()

    def _signer(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - 6 MB until somebody connects

        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)


def _write_private(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(
            folder
        )  # else the name may not survive a power loss that the rows signed with it do
    finally:
        os.close(folder)


def public_key(encoded: str) -> Ed25519PublicKey:
    """Return a public key from base64 of its 32 bytes; InvalidRequest ``invalid_key`` otherwise."""
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - see above

    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as err:
        raise InvalidRequest("invalid_key", "This is not an Ed25519 public key") from err


def verify(encoded_key: str, signature: str, message: bytes) -> bool:
    """Tell whether a base64 signature of the message is by this key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above

    try:
        public_key(encoded_key).verify(base64.b64decode(signature, validate=True), message)
    except InvalidSignature, ValueError:
        return False
    return True


def hash_pin(pin: str) -> bytes:
    """Return a salted scrypt hash of a person's code (RFC 7914; n=2^14, r=8, p=1)."""
    salt = secrets.token_bytes(16)
    return salt + hashlib.scrypt(pin.encode(), salt=salt, **_SCRYPT)


def pin_matches(pin: str, stored: bytes | None) -> bool:
    """Compare a code with its hash in constant time; False when there is no hash."""
    if stored is None:
        return False
    salt, expected = stored[:16], stored[16:]
    return hmac.compare_digest(hashlib.scrypt(pin.encode(), salt=salt, **_SCRYPT), expected)
