"""Messages between a job's processes: framed bytes over TCP, each line watched by a thread.

The kernel closes a process's connections however it ends, so the end of a line without a goodbye is the
death of its process, noticed at once and whatever the main thread waits for.
"""

import json
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

_HEAD = struct.Struct("!cQ")  # kind, length
_LONGEST_GREETING = 4096  # bytes; before that, whoever calls may be anybody
# A machine that loses its power closes nothing.  Seconds of silence until the kernel asks, seconds between
# its questions, questions without an answer.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}

GREETING, START, END, BYE = b"h", b"s", b"e", b"b"  # read before the thread runs, or by it
WISHES, TEXT, ARRAY, DONE = b"w", b"t", b"a", b"d"  # for the main thread


class Line:
    """A connection to one other process.

    Parameters
    ----------
    connection
        An open TCP connection.
    peer
        The other's index.
    """

    def __init__(self, connection: socket.socket, peer: int) -> None:
        self.connection, self.peer = connection, peer
        self._sending = threading.Lock()
        self._received: queue.SimpleQueue[tuple[bytes, bytearray] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, kind: bytes, payload: bytes | memoryview = b"", *, patience: float = -1) -> None:
        """Send a message; give up on a line that another thread uses for more than `patience` seconds."""
        if self._sending.acquire(timeout=patience):
            try:
                self.connection.sendall(_HEAD.pack(kind, len(payload)))
                self.connection.sendall(payload)
            finally:
                self._sending.release()

    def send_json(self, kind: bytes, document: Any, *, patience: float = -1) -> None:
        """Send a message that is a JSON document."""
        self.send(kind, json.dumps(document).encode(), patience=patience)

    def receive(self, longest: int | None = None) -> tuple[bytes, bytearray]:
        """Read a message from the connection.

        Raises
        ------
        OSError
            If the line has ended, or the message is longer than allowed.
        """
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if longest is not None and length > longest:
            raise OSError("a message that is no greeting")
        return kind, self._exactly(length)

    def greeting(self) -> tuple[bytes, Any]:
        """Read a short JSON message, from whoever it may be."""
        kind, payload = self.receive(_LONGEST_GREETING)
        try:
            return kind, json.loads(payload)
        except ValueError as error:
            raise OSError("a message that is no greeting") from error

    def is_open(self) -> bool:
        """Whether the other end still holds the line, as far as the kernel knows; before `watch`."""
        self.connection.setblocking(False)
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.setblocking(True)

    def watch(self, on_end: Callable[["Line", Any], None]) -> None:
        """Read in a thread from now on; call ``on_end`` with an END's document, or None at a silent end."""
        self.connection.settimeout(None)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                self.connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._thread = threading.Thread(target=self._read, args=(on_end,), daemon=True)
        self._thread.start()

    def _read(self, on_end: Callable[["Line", Any], None]) -> None:
        while True:
            try:
                kind, payload = self.receive()
            except OSError:
                return on_end(self, None)
            if kind == BYE:
                return None
            if kind == END:
                return on_end(self, json.loads(payload))
            self._received.put((kind, payload))

    def take(self, kind: bytes) -> bytearray | None:
        """The next message for the main thread; None if the line was interrupted."""
        message = self._received.get()
        if message is None:
            return None
        if message[0] != kind:
            raise RuntimeError(f"process {self.peer} is out of step: {message[0]!r} in place of {kind!r}")
        return message[1]

    def interrupt(self) -> None:
        """Let the main thread go that waits for a message."""
        self._received.put(None)

    def close(self, patience: float) -> None:
        """Wait for the other's goodbye, then close."""
        if self._thread is not None:
            self._thread.join(patience)
        self.connection.close()

    def _exactly(self, length: int) -> bytearray:
        buffer = bytearray(length)
        rest = memoryview(buffer)
        while rest:
            received = self.connection.recv_into(rest)
            if not received:
                raise ConnectionResetError("the line has ended")
            rest = rest[received:]
        return buffer
