"""A web server on this machine that serves a folder, and can be told to misbehave as the real ones do."""

import contextlib
import hashlib
import http.server
import threading
import time
from pathlib import Path


class FileServer:
    """Serves `files` (path -> content) on a port of its own until the block ends.

    Attributes:
        ranges: whether it can send a part of a file.
        etag: the kind of tag it sends: "strong", "weak" or "none".
        cut: path -> bytes after which connections for it break off, one entry for each connection to come.
        status: path -> what it answers instead, one entry for each connection to come.
        extra: path -> bytes to send after the content.
        redirect: path -> the URL that it points at instead.
        drip: path -> "headers" or "content", which it sends a byte at a time.
        pause: path -> seconds that it waits before each 64 KiB.
        partial: a file's name, which it always answers with status 206.
        zeros: whether the rest of a file that is asked for by its range is zeros.
        announce: whether it says how long the answer is.
        requests: (path, Range) of what was asked for.
    """

    def __init__(self, files):
        self.files = dict(files)
        self.ranges, self.etag, self.announce = True, "strong", True
        self.cut, self.status, self.extra, self.requests = {}, {}, {}, []
        self.redirect, self.drip, self.pause, self.partial, self.zeros = {}, {}, {}, "", False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/models"

    def asked(self, name):
        """The Range of every request for a file."""
        return [wanted for path, wanted in self.requests if Path(path).name == name]

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, handler):
        path = handler.path.removeprefix("/models/")
        wanted = handler.headers.get("Range")
        self.requests.append((path, wanted))
        if path in self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect[path])
            handler.end_headers()
            return
        if self.drip.get(path) == "headers":
            self._send(handler, b"HTTP/1.0 200 OK\r\n" + b"X-Slow: 1\r\n" * 50, by=1, pause=0.02)
            return
        status = self.status[path].pop(0) if self.status.get(path) else 200 if path in self.files else 404
        if status != 200:
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        content = self.files[path] + self.extra.get(path, b"")
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = 0
        if wanted and self.ranges and handler.headers.get("If-Range") in (None, tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                handler.send_response(416)
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(206 if Path(path).name == self.partial else 200)
        body = bytes(len(content) - start) if start and self.zeros else content[start:]
        if self.announce:
            handler.send_header("Content-Length", str(len(body)))
        if self.etag != "none":
            handler.send_header("ETag", tag if self.etag == "strong" else f"W/{tag}")
        handler.end_headers()
        body = body[: self.cut[path].pop(0)] if self.cut.get(path) else body
        if path in self.drip:
            self._send(handler, body, by=1, pause=0.02)
        else:
            self._send(handler, body, by=1 << 16, pause=self.pause.get(path, 0))

    @staticmethod
    def _send(handler, content, *, by, pause):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # of a client that has enough
            for start in range(0, len(content), by):
                time.sleep(pause)
                handler.wfile.write(content[start : start + by])
