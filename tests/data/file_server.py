"""A web server on the loopback that serves files well, or badly in a chosen way."""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Request", bytes], None]


class Request(BaseHTTPRequestHandler):
    """A request; ``server`` is a `FileServer`."""

    server: "FileServer"

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        self.server.requests.append((self.path, self.headers.get("Range")))
        answer = self.server.answers.popleft() if self.server.answers else good
        if content is None:
            self.reply(404, 0)
        else:
            answer(self, content)

    def reply(self, status: int, length: int | None, **headers: str) -> None:
        """Send the header of a response."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def start(self) -> int:
        """The first byte that is asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class FileServer(ThreadingHTTPServer):
    """Serves ``files``, by path; the first requests are answered by ``answers``, the others by `good`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files: dict[str, bytes] = {}
        self.answers: deque[Answer] = deque()
        self.requests: list[tuple[str, str | None]] = []
        self.stopped = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def file_server() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def good(request: Request, content: bytes) -> None:
    """Serve the range that is asked for."""
    cut(1.0)(request, content)


def cut(share: float, ranges: bool = True) -> Answer:
    """End the connection after a share of what was asked for; without ``ranges``, of the whole file."""

    def answer(request: Request, content: bytes) -> None:
        start = request.start() if ranges else 0
        rest = content[start:]
        if ranges and start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            request.reply(206, len(rest), Content_Range=span)
        else:
            request.reply(200, len(rest))
        request.wfile.write(rest[: int(share * len(rest))])

    return answer


def status(code: int) -> Answer:
    """Answer with an HTTP status."""
    return lambda request, _: request.reply(code, 0)


def changed(change: Callable[[bytes], bytes], longer: int | None = 0) -> Answer:
    """Serve changed content, and declare it longer than it is; None: declare no length."""

    def answer(request: Request, content: bytes) -> None:
        body = change(content)
        request.reply(200, None if longer is None else len(body) + longer)
        request.wfile.write(body)

    return answer


def header(**headers: str) -> Answer:
    """Serve the whole file with these headers."""

    def answer(request: Request, content: bytes) -> None:
        request.reply(200, len(content), **headers)
        request.wfile.write(content)

    return answer


def hang(request: Request, content: bytes) -> None:
    """Send half of the file, and then nothing until the server stops."""
    request.reply(200, len(content))
    request.wfile.write(content[: len(content) // 2])
    request.server.stopped.wait(20)


def silence(request: Request, content: bytes) -> None:
    """Send nothing until the server stops."""
    request.server.stopped.wait(20)
