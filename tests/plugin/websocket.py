"""As much of a websocket's client (RFC 6455) as ComfyUI's messages need: text comes in, pings are answered."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def messages(channel: socket.socket, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(type, data) of every message, as it comes; binary ones (previews) as ("preview", {})."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{channel.getpeername()[1]}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
    channel.sendall("\r\n".join(lines).encode())
    stream = channel.makefile("rb")
    status = stream.readline()
    assert b" 101 " in status, status
    while stream.readline().strip():
        pass
    while True:
        kind, data = read_frame(stream)
        if kind == CLOSE:
            return
        if kind == PING:
            channel.sendall(struct.pack("!BB", 0x80 | PONG, 0x80 | len(data)) + bytes(4) + data)
        elif kind == TEXT:
            message = json.loads(data)
            yield message["type"], message.get("data") or {}
        elif kind != PONG:
            yield "preview", {}


def read_frame(stream: BinaryIO) -> tuple[int, bytes]:
    """(opcode, data) of a message that is not split up; aiohttp splits none."""
    first, second = read(stream, 2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", read(stream, 2))
    elif length == 127:
        (length,) = struct.unpack("!Q", read(stream, 8))
    return first & 0x0F, read(stream, length)


def read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    assert len(data) == count, "ComfyUI closed the websocket"
    return data
