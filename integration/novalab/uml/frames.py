"""What goes over the link between the lab and its agent inside a machine: one line of JSON, then frames.

A frame is a kind (one byte), a length (four bytes, big-endian) and so many bytes. IN travels inwards, an empty one is
the end of the input; OUT, ERR and EXIT (a number in digits, the last frame) travel outwards. A program that could not be
started exits 127 with the reason in ERR.
"""

import json
import socket
import struct

PORT = 7
IN, OUT, ERR, EXIT = 0, 1, 2, 3
HEAD = struct.Struct(">BI")
# Of one request; files travel in it.
MOST_BYTES = 64 * 1024 * 1024


def send_request(sock, request):
    """The line that begins a connection."""
    sock.sendall(json.dumps(request).encode() + b"\n")


def receive_request(sock):
    """Reads it. Raises ValueError where it is none."""
    line = bytearray()
    while not line.endswith(b"\n"):
        # Byte for byte would be slow, and what follows the line must stay in the socket: look before reading.
        seen = sock.recv(65536, socket.MSG_PEEK)
        if not seen or len(line) > MOST_BYTES:
            raise ValueError("no whole request")
        end = seen.find(b"\n")
        line += exactly(sock, len(seen) if end < 0 else end + 1)
    return json.loads(line)


def send(sock, kind, data):
    """One frame."""
    sock.sendall(HEAD.pack(kind, len(data)) + data)


def receive(sock):
    """One frame as (kind, data). Raises ConnectionError where the other side is gone."""
    kind, length = HEAD.unpack(exactly(sock, HEAD.size))
    if length > MOST_BYTES:
        raise ConnectionError(f"a frame of {length} bytes")
    return kind, exactly(sock, length)


def exactly(sock, count):
    """So many bytes."""
    data = bytearray()
    while len(data) < count:
        more = sock.recv(min(count - len(data), 1 << 20))
        if not more:
            raise ConnectionError("the connection is closed")
        data += more
    return bytes(data)
