"""What happens, told to every open page as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

MAX_PAGES = 32
MAX_WAITING = 256
"""Events that a page may leave unread; one that is further behind is hung up on, and comes back by itself."""

KEEP_ALIVE_S = 15.0


class Feed:
    """Takes events from any thread; hands them to the pages on the loop that it was opened on."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[asyncio.Queue[bytes | None]] = set()

    def open(self) -> None:
        """From now on pages are served, by the running loop."""
        self._loop = asyncio.get_running_loop()

    def publish(self, event: str, data: Any) -> None:
        """Tells all pages. Before `open` and after the loop's end there is none."""
        packet = f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._spread, packet)

    async def follow(self, first: tuple[str, Any]) -> AsyncIterator[bytes]:
        """The events from now on, after one of the page's own."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        if len(self._pages) >= MAX_PAGES:
            return
        self._pages.add(queue)
        try:
            yield f"retry: 500\nevent: {first[0]}\ndata: {json.dumps(first[1])}\n\n".encode()
            while True:
                try:
                    packet = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    packet = b":\n\n"
                if packet is None:
                    return
                yield packet
        finally:
            self._pages.discard(queue)

    def close(self) -> None:
        """Ends every page's stream. On the loop."""
        for queue in tuple(self._pages):
            self._hang_up(queue)

    def _spread(self, packet: bytes) -> None:
        for queue in tuple(self._pages):
            if queue.full():
                self._hang_up(queue)
            else:
                queue.put_nowait(packet)

    def _hang_up(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._pages.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
