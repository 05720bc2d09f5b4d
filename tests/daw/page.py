"""The panel of a running daemon as a browser sees it, for tests that have no browser."""

from __future__ import annotations

import io
import json
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

import numpy as np
import soundfile
from daemon import PATIENCE_S, samplefit


class Page:
    """Let in by the address that `samplefit panel --print` gives."""

    def __init__(self, state: Path) -> None:
        address = samplefit("panel", "--print", "--state", state).stdout.strip()
        self._origin = "http://" + urlsplit(address).netloc
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self._opener.open(address, timeout=PATIENCE_S).close()
        self._permit = self.get("/api/session")["permit"]

    def get(self, path: str) -> Any:
        """A JSON document."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """Whatever lies there."""
        with self._opener.open(self._origin + path, timeout=PATIENCE_S) as response:
            return response.read()

    def post(self, path: str, **body: Any) -> Any:
        """A change."""
        own = {"Origin": self._origin, "X-Samplefit": self._permit, "Content-Type": "application/json"}
        request = Request(self._origin + path, json.dumps(body).encode(), own)
        with self._opener.open(request, timeout=PATIENCE_S) as response:
            return json.loads(response.read())


def levels(wav: bytes, *hz: float) -> list[float]:
    """Amplitudes of tones in a sound file, as mono."""
    samples, rate = soundfile.read(io.BytesIO(wav), always_2d=True)
    t = np.arange(len(samples)) / rate
    window = np.hanning(len(samples))
    return [abs(np.sum(samples.mean(axis=1) * window * np.exp(-2j * np.pi * f * t))) for f in hz]
