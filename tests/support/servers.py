"""Servers on the loopback that give a video by RTSP, HTTP or plain TCP, whole, in part, or not at all."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import struct
import threading


@contextlib.contextmanager
def serve(handle):
    """Accept connections and call `handle(connection, wait)` in a thread each; `wait()` blocks until the end of the
    block. Gives the port."""
    done = threading.Event()
    threads = []

    def one(connection):
        with connection, contextlib.suppress(OSError):
            handle(connection, lambda: done.wait(30))

    def accept():
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = server.accept()
                connection.settimeout(30)
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def silence(connection, wait):
    """Take the connection and say nothing."""
    wait()


def give(content, *, stalls=False):
    """A handler that sends these bytes, and then ends or stalls."""

    def handle(connection, wait):
        connection.sendall(content)
        if stalls:
            wait()

    return handle


def give_rtsp(transport_stream, *, stalls=False):
    """A handler of RTSP that plays an MPEG transport stream, interleaved with the answers, and then ends or stalls."""

    def handle(connection, wait):
        file = connection.makefile("rb")
        while request := file.readline().decode():
            headers = dict(re.findall(r"(\S+): (.*?)\r\n", "".join(iter(lambda: file.readline().decode(), "\r\n"))))
            method = request.split()[0]
            sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
            more = {
                "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
                "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}",
                "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
                "PLAY": "Session: 1\r\n\r\n",
            }.get(method, "\r\n")
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\n{more}".encode())
            if method != "PLAY":
                continue
            for number, start in enumerate(range(0, len(transport_stream), 7 * 188)):
                payload = transport_stream[start : start + 7 * 188]
                header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, 900 * number, 1)
                packet = header + payload
                connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            if stalls:
                wait()
            return

    return handle


@contextlib.contextmanager
def serve_folder(folder):
    """Serve the files of a folder by HTTP, without ranges, as small servers do. Gives the port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
