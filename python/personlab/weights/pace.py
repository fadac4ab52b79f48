"""HTTP connections with limits of time and rate: a server that sends too slowly raises an error."""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class Pace:
    """Limits of a download: its total time and its min rate.

    Args:
        total: seconds from now for all connections together.
        silence: max seconds without a byte; also the interval over which the rate is measured.
        rate: min bytes a second.
    """

    def __init__(self, *, total: float, silence: float, rate: float) -> None:
        self.total, self.silence, self.rate = total, silence, rate
        self._end = time.monotonic() + total

    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Return the seconds that the next bytes may take.

        Raises:
            TimeoutError: the total time is over.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"not done after {self.total:g} s")
        return min(seconds, self.silence)

    def open(self, request: urllib.request.Request) -> Any:
        """Open a request as `urllib.request.urlopen` does, within the limits from the first header byte; http(s) alone.

        Raises:
            OSError: the server cannot be reached, is too slow, or refuses.
            ValueError: the URL, or that of a redirection, is invalid.
        """
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Http(self), _Https(self),
            urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):  # fmt: skip
            opener.add_handler(handler)
        return opener.open(request, timeout=self.left())


class _Http(urllib.request.HTTPHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._pace), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._pace), req)


def _connection(kind: type[http.client.HTTPConnection], pace: Pace, host: str, **more: Any) -> Any:
    """Return a connection whose answers keep the limits of `pace`."""
    connection: Any = kind(host, **more)
    connection.response_class = partial(_Answer, pace)
    return connection


class _Answer(http.client.HTTPResponse):
    def __init__(self, pace: Pace, sock: socket.socket, *arguments: Any, **more: Any) -> None:
        super().__init__(sock, *arguments, **more)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_Paced(buffered.detach(), sock, pace))


class _Paced(io.RawIOBase):
    """The bytes of a connection; raises TimeoutError where they come too slowly."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, pace: Pace) -> None:
        super().__init__()
        self._raw, self._sock, self._pace = raw, sock, pace
        self._since, self._got = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(self._pace.left())
        got = self._raw.readinto(buffer)
        self._got += got or 0
        seconds = time.monotonic() - self._since
        if got and seconds >= self._pace.silence:
            if self._got < self._pace.rate * seconds:
                raise TimeoutError(f"{self._got} bytes in {seconds:.0f} s, expected {self._pace.rate:g} a second")
            self._since, self._got = time.monotonic(), 0
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()
