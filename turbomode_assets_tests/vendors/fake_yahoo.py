"""A stand-in for Yahoo Finance: a proxy on 127.0.0.1 that ends TLS for *.yahoo.com itself.

Unmodified clients reach it through `environment` alone. It serves what `YahooMarket` replies, and
faults where a script says so. As a process:

    python -m turbomode_assets_tests.vendors.fake_yahoo PORT FOLDER
"""

import contextlib
import datetime as dt
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from turbomode_assets_tests.vendors.fake_yahoo_market import YahooMarket


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a reply; without `body` the true one is sent, as `change` leaves it."""

    status: int = 200
    body: bytes | None = None
    change: Callable[[Any], Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    stalls: bool = False
    breaks_off: bool = False


TOO_MANY = Fault(status=429, body=b"Too Many Requests\r\n")
HTML = Fault(body=b"<!DOCTYPE html><html><body>Will be right back</body></html>")
DOWN = Fault(status=500, body=b"<html>Internal Server Error</html>")


class FakeYahoo(YahooMarket):
    """Serves while it is entered. `requests` holds "host/path?query" of all that was asked."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__()
        self.requests: list[str] = []
        self.crashes: list[Exception] = []
        self.closing = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._standing: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self._bundle = folder / "ca.pem"
        if not (folder / "server.pem").exists():
            make_certificates(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.context.set_alpn_protocols(["http/1.1"])
        self._server = _Server(("127.0.0.1", port), self)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a client here, with nothing else about it changed."""
        proxy = f"http://127.0.0.1:{self.port}"
        bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
            **dict.fromkeys(bundles, str(self._bundle)),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        if self.crashes:
            raise self.crashes[0]

    def script(self, path: str, *faults: Fault, forever: bool = False) -> None:
        """Let the next requests whose host and path contain `path` meet these faults, in order."""
        if forever:
            (self._standing[path],) = faults
        else:
            self._faults.setdefault(path, []).extend(faults)

    def count(self, path: str) -> int:
        """How many requests had `path` in host, path or query."""
        return sum(path in asked for asked in self.requests)

    def next_fault(self, place: str) -> Fault | None:
        with self._lock:
            for path, faults in self._faults.items():
                if path in place and faults:
                    return faults.pop(0)
            return next((fault for path, fault in self._standing.items() if path in place), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], yahoo: FakeYahoo) -> None:
        super().__init__(address, _Handler)
        self.yahoo = yahoo

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a client may go away at any time
            self.yahoo.crashes.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    host = ""

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # the client may have gone
            super().finish()
            self.connection.close()

    def do_CONNECT(self) -> None:
        self.host = self.path.split(":")[0]
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        self.connection = self.server.yahoo.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.close_connection = False

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        yahoo = self.server.yahoo
        place = self.host + self.path
        yahoo.requests.append(place)
        fault = yahoo.next_fault(place)
        if fault is not None and fault.stalls:
            yahoo.closing.wait(60)
        if fault is not None and fault.body is not None:
            status, kind, body, headers = fault.status, "text/html", fault.body, fault.headers
        else:
            cookies = self.headers.get("Cookie", "")
            status, kind, body, headers = yahoo.reply(self.host, self.path, cookies)
        if fault is not None and fault.change is not None:
            body = json.dumps(fault.change(json.loads(body))).encode()
        if fault is not None:
            headers = headers | fault.headers
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is not None and fault.breaks_off:
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)
        self.wfile.flush()


def make_certificates(folder: Path) -> None:
    """Write a throw-away authority `ca.pem` and a certificate of it for *.yahoo.com."""
    folder.mkdir(parents=True, exist_ok=True)
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    names = "DNS:*.yahoo.com,DNS:*.finance.yahoo.com"
    (folder / "names").write_text(f"subjectAltName={names}\n", encoding="utf-8")
    for command in (
        "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=throw-away"
        " -addext basicConstraints=critical,CA:TRUE",
        "req {key} -keyout server.key -out server.csr -subj /CN=yahoo.com",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2"
        " -extfile names",
    ):
        arguments = command.format(key=key).split()
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    with FakeYahoo(folder, port) as yahoo:
        for name, value in yahoo.environment.items():
            print(f"export {name}='{value}'", flush=True)
        while True:
            yahoo.now = dt.datetime.now(dt.UTC)
            time.sleep(1)


if __name__ == "__main__":
    main()
