"""Signed messages, for a Trestle with `ng-secret-file`: `COOKIE SP hmac1:TIME:MAC SP DICT` (docs/PROTOCOL.md)."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import time
from typing import Self

SECRET_BYTES_MIN = 32

AGE_MAX_MS = 30_000
"""By how much the TIME of an event may differ from the clock of this machine."""


class Signer:
    """Signs requests, and checks the signatures of replies and events."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the secret is shorter than {SECRET_BYTES_MIN} bytes")
        self._secret = secret

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Reads the first secret of a file, which only its owner may read."""
        with open(path, "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ValueError(f"{os.fspath(path)} can be read by other users: run chmod 600 {os.fspath(path)}")
            lines = (line.strip() for line in file.read().split(b"\n"))
        return cls(next((line for line in lines if line), b""))

    def request(self, cookie: bytes, body: bytes, time_ms: int | None = None) -> tuple[bytes, bytes]:
        """Returns the signature of a request, and its TIME."""
        at = b"%d" % (time.time_ns() // 1_000_000 if time_ms is None else time_ms)
        return b"hmac1:" + at + b":" + self._mac(b"request " + cookie, at, body), at

    def reply(self, cookie: bytes, at: bytes, signed: bytes) -> bytes | None:
        """Returns the body of the reply to the request of this cookie and TIME; `None` if the signature is not right."""
        signature, _, body = signed.partition(b" ")
        right = b"hmac1:" + at + b":" + self._mac(b"reply " + cookie, at, body)
        return body if hmac.compare_digest(signature, right) else None

    def event(self, signed: bytes, now_ms: int | None = None) -> bytes | None:
        """Returns the body of an event; `None` if the signature is not right, or too old."""
        signature, _, body = signed.partition(b" ")
        at = signature.split(b":")[1] if signature.count(b":") == 2 else b""
        right = b"hmac1:" + at + b":" + self._mac(b"event", at, body)
        if not hmac.compare_digest(signature, right):
            return None
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        return body if abs(now_ms - int(at)) <= AGE_MAX_MS else None

    def _mac(self, kind: bytes, at: bytes, body: bytes) -> bytes:
        text = kind + b" " + at + b" " + body
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest().encode()
