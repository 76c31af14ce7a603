"""StudyInstanceUIDs replaced by keyed hashes, so that a table can be shown around without naming a study."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cspine.errors import CspineError

KEY_BYTES = 32


def hashed_uid(uid: str, key: bytes) -> str:
    """A valid DICOM UID of at most 44 characters that only who has the key can get from ``uid``.

    The form is that of UIDs made from UUIDs (DICOM PS3.5 B.2): 2.25. and the decimal of 128 bits, here of
    HMAC-SHA256(key, uid). A plain hash would not do: UIDs are a known root, a date and a counter, so whoever has the
    hash finds the UID by trying.
    """
    digest = hmac.new(key, uid.encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def read_key(path: Path) -> bytes | None:
    """The key in a file, or None where there is no file.

    Raises:
        CspineError: the file holds something else.
    """
    if not path.exists():
        return None
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise CspineError(
            f"{path}: found no key; expected {2 * KEY_BYTES} hexadecimal digits, as an import writes them"
        )
    return key


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


def write_key(path: Path, key: bytes) -> None:
    """Write a key that only its owner may read; a file that is there is never written over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(key.hex() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
