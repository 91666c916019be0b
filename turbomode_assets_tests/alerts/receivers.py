"""Real servers on free ports of this machine, which keep what they are sent."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "s3cr3t-t0k3n-0f-the-receiver"


@dataclass
class Receiver:
    """What came in, each as (path, text), and what is answered."""

    port: int = 0
    status: int = 200
    came: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.port}/{TOKEN}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Title and body of each message that came through json://."""
        told = [json.loads(text) for _, text in self.came]
        return [(each["title"], each["message"]) for each in told]


@contextlib.contextmanager
def http_receiver() -> Iterator[Receiver]:
    """Take whatever is posted or asked for, and answer with the receiver's status."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            receiver.came.append((self.path, self.rfile.read(length).decode()))
            self.send_response(receiver.status)
            self.end_headers()
            self.wfile.write(b"ok")  # what Slack answers

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.port = port
        yield receiver


@contextlib.contextmanager
def smtp_receiver() -> Iterator[Receiver]:
    """Take mail: as much of SMTP as a client without encryption and password speaks."""
    receiver = Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            while command := self.rfile.readline().decode().strip():
                verb = command.split()[0].upper()
                if verb == "DATA":
                    self._say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                    receiver.came.append(("", "".join(lines)))
                self._say("221 bye" if verb == "QUIT" else "250 ok")
                if verb == "QUIT":
                    return

        def _say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    with _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.port = port
        yield receiver


@contextlib.contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
