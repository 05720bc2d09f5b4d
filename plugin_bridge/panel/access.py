"""Who may use the panel: a one-time token opens it, a cookie keeps it open, a header allows changes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from encoders.errors import Refused

KEY_BYTES = 32

FRESH_S = 60.0
"""How long a token of `samplefit panel` is good for: the time in which a browser starts."""

PRINTED_S = 24 * 3600.0
"""How long the token that `samplefit serve` prints is good for, unless it is used before."""

COOKIE_S = 365 * 24 * 3600
"""How long a browser stays admitted."""


def read_key(state: Path) -> bytes:
    """The secret of a state folder, made on first use and readable by its user alone: who can read it is the user.

    It outlives the daemon, so that a page that is left open goes on after a restart.

    Raises:
        Refused: it cannot be made, or is not what we wrote.
    """
    path = state / "panel.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_bytes()
    except OSError as error:
        raise Refused(
            str(path), found=error.strerror or str(error), expected="a file that we can write"
        ) from None
    else:
        key = secrets.token_bytes(KEY_BYTES)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
    if len(key) != KEY_BYTES:
        raise Refused(str(path), found=f"{len(key)} bytes", expected=str(KEY_BYTES), remedy="delete the file")
    return key


class Access:
    """Admits browsers.

    A token says when it was made and for how long it is good, signed with the key; so any process that can read
    the key can make one. One made before this daemon began is refused, hence none works twice, even after a restart.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = key, clock
        self._began_s = clock()
        self._used: set[str] = set()
        self._turn = threading.Lock()

    def admit(self, token: str) -> str | None:
        """The cookie that a token buys, once; None for one that is forged, old or used."""
        signed, _, mark = token.rpartition(".")
        if not signed or not hmac.compare_digest(_bytes(mark), _mark(self._key, "token", signed).encode()):
            return None
        made_s, lasts_s = (float(part) for part in signed.split("~")[:2])
        with self._turn:
            if signed in self._used or not self._began_s <= made_s <= self._clock() <= made_s + lasts_s:
                return None
            self._used.add(signed)
        nonce = secrets.token_urlsafe(16)
        return f"{nonce}.{_mark(self._key, 'cookie', nonce)}"

    def knows(self, cookie: str) -> bool:
        """Whether we made this cookie."""
        nonce, _, mark = cookie.rpartition(".")
        return bool(nonce) and hmac.compare_digest(_bytes(mark), _mark(self._key, "cookie", nonce).encode())

    def permit(self, cookie: str) -> str:
        """What requests that change something carry in a header, beside the cookie."""
        return _mark(self._key, "permit", cookie)

    def allows(self, cookie: str, permit: str) -> bool:
        """Whether the permit goes with the cookie."""
        return hmac.compare_digest(_bytes(permit), self.permit(cookie).encode())


def make_token(key: bytes, lasts_s: float = FRESH_S, clock: Callable[[], float] = time.time) -> str:
    """A token that opens the panel once, from now on for `lasts_s`."""
    signed = f"{clock():.6f}~{lasts_s:.0f}~{secrets.token_urlsafe(16)}"
    return f"{signed}.{_mark(key, 'token', signed)}"


def _mark(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(key, _bytes(f"{purpose}:{text}"), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")
