"""The outside end of the link to the agent inside a machine (inside/agent.py): what `nsenter` is for a namespace.

As a program it runs one command there, with its own environment, input and output, and ends as that command did:

    channel.py NAMESPACE PID START ARGV...      PID and START: the machine's kernel as latch.py records it
"""

import os
import select
import sys
import termios
import threading
import time
import tty

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from novalab import net, processes
from novalab.uml import frames

# A /30 that only the machine and its own namespace have; every machine has the same one.
OUTER, INNER, LINK = "169.254.77.1", "169.254.77.2", "lab0"
CONNECT_SECONDS = 5
# How soon a command notices that its machine died under it.
LOOK_EVERY = 0.2
# As a program that SIGKILL ended.
DIED = 137


def connect(namespace, identity, timeout=CONNECT_SECONDS):
    """A connection to the agent. A machine that only boots is waited for. Raises OSError."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return net.connect(namespace, INNER, frames.PORT, 1.0)
        except OSError:
            if time.monotonic() > deadline or not processes.alive(identity):
                raise
            time.sleep(0.05)


def call(namespace, identity, request, stdin=b"", timeout=60.0):
    """One request; returns (exit code, stdout, stderr). Raises TimeoutError, or OSError where nobody answers."""
    deadline = time.monotonic() + timeout
    out, err = bytearray(), bytearray()
    with connect(namespace, identity, min(timeout, CONNECT_SECONDS)) as sock:
        sock.settimeout(timeout)
        frames.send_request(sock, request)
        if request["do"] == "run":
            if stdin:
                frames.send(sock, frames.IN, stdin)
            frames.send(sock, frames.IN, b"")
        while True:
            if not wait_readable(sock, identity, deadline):
                return DIED, bytes(out), bytes(err)
            kind, data = frames.receive(sock)
            if kind == frames.EXIT:
                return int(data), bytes(out), bytes(err)
            (out if kind == frames.OUT else err).extend(data)


def wait_readable(sock, identity, deadline):
    """Until something arrives: True; False where the machine has died. Raises TimeoutError."""
    while True:
        if select.select([sock], [], [], LOOK_EVERY)[0]:
            return True
        if not processes.alive(identity):
            return False
        if time.monotonic() > deadline:
            raise TimeoutError("no answer in time")


def program(namespace, identity, argv):
    """Runs a command for this process; returns its exit code."""
    terminal = os.isatty(0) and os.isatty(1)
    try:
        sock = connect(namespace, identity)
    except OSError as error:
        print(f"the machine behind {namespace} does not answer: {error}", file=sys.stderr)
        return DIED
    with sock:
        sock.settimeout(None)
        frames.send_request(sock, {"do": "run", "argv": argv, "env": dict(os.environ), "terminal": terminal})
        threading.Thread(target=pump, args=(sock,), daemon=True).start()
        saved = raw(terminal)
        try:
            return carry(sock, identity)
        except OSError:
            return DIED
        finally:
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)


def raw(terminal):
    """Makes the terminal raw; returns how it was."""
    if not terminal:
        return None
    saved = termios.tcgetattr(0)
    tty.setraw(0)
    return saved


def pump(sock):
    """Our input becomes the command's."""
    try:
        while True:
            data = os.read(0, 65536)
            frames.send(sock, frames.IN, data)
            if not data:
                return
    except OSError:
        return


def carry(sock, identity):
    """The command's output becomes ours."""
    while True:
        if not wait_readable(sock, identity, float("inf")):
            return DIED
        kind, data = frames.receive(sock)
        if kind == frames.EXIT:
            return int(data)
        descriptor = 1 if kind == frames.OUT else 2
        while data:
            data = data[os.write(descriptor, data):]


if __name__ == "__main__":
    sys.exit(program(sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), sys.argv[4:]))
