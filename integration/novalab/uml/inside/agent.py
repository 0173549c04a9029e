"""The lab's hand inside a machine: runs programs and moves files for channel.py, over a link that only the lab has.

    agent.py ADDRESS

It stands for `nsenter`: what it runs is the machine's own, and is ended when the one who asked goes away. A connection
carries one request (a line of JSON) and then frames of channel.py's format.
"""

import base64
import json
import os
import pty
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from novalab.processes import alive, command_line, start_time
from novalab.uml import frames

BACKLOG = 64
CHUNK = 65536


def serve(address):
    """Listens until it is killed."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, frames.PORT))
    listener.listen(BACKLOG)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection):
    """One request."""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            request = frames.receive_request(connection)
            if request["do"] == "run":
                run(connection, request)
                return
            out = FILES[request["do"]](request)
            frames.send(connection, frames.OUT, out)
            frames.send(connection, frames.EXIT, b"0")
        except (OSError, ValueError, KeyError) as error:
            refuse(connection, error)


def refuse(connection, error):
    """Says why not, as a program would."""
    try:
        frames.send(connection, frames.ERR, f"{type(error).__name__}: {error}\n".encode())
        frames.send(connection, frames.EXIT, b"127")
    except OSError:
        pass


def run(connection, request):
    """A program, its input and output on the connection."""
    terminal = request.get("terminal")
    master = slave = None
    if terminal:
        master, slave = pty.openpty()
    # A terminal belongs to a session whose leader asks for it, which is what setsid does.
    argv = ["/usr/bin/setsid", "--ctty", *request["argv"]] if terminal else request["argv"]
    child = subprocess.Popen(
        argv, env=request["env"], cwd="/", start_new_session=not terminal,
        stdin=slave if terminal else subprocess.PIPE, stdout=slave if terminal else subprocess.PIPE,
        stderr=slave if terminal else subprocess.PIPE)
    if terminal:
        os.close(slave)
        outputs, stdin = {master: frames.OUT}, os.dup(master)
    else:
        outputs, stdin = {child.stdout.fileno(): frames.OUT, child.stderr.fileno(): frames.ERR}, os.dup(child.stdin.fileno())
        child.stdin.close()
    try:
        relay(connection, outputs, stdin)
        code = child.wait()
        frames.send(connection, frames.EXIT, str(code if code >= 0 else 128 - code).encode())
    except OSError:
        # Whoever asked is gone. What it started in sessions of its own lives on, as a daemon does.
        end(child)
    finally:
        for stream in (child.stdout, child.stderr):
            if stream:
                stream.close()
        if master is not None:
            os.close(master)


def relay(connection, outputs, stdin):
    """Carries frames until the program's outputs are at their end. Raises OSError when the other side is gone."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        for descriptor in outputs:
            selector.register(descriptor, selectors.EVENT_READ)
        open_outputs = set(outputs)
        try:
            while open_outputs:
                for key, _ in selector.select():
                    if key.fileobj is connection:
                        stdin = feed(connection, stdin)
                        continue
                    data = read(key.fd)
                    if data:
                        frames.send(connection, outputs[key.fd], data)
                    else:
                        selector.unregister(key.fd)
                        open_outputs.discard(key.fd)
        finally:
            if stdin is not None:
                os.close(stdin)


def read(descriptor):
    """Some output; a terminal whose other side is closed reads EIO, which is its end."""
    try:
        return os.read(descriptor, CHUNK)
    except OSError:
        return b""


def feed(connection, stdin):
    """One frame of input for the program; an empty one is its end. Returns the descriptor that is left."""
    kind, data = frames.receive(connection)
    if kind != frames.IN or stdin is None:
        return stdin
    if not data:
        os.close(stdin)
        return None
    try:
        while data:
            data = data[os.write(stdin, data):]
    except BrokenPipeError:
        pass
    return stdin


def end(child):
    """Kills a program with its process group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def put(request):
    """Replaces a file as a whole, and is on the disk when it says so: a power cut right after must not undo it."""
    path = request["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    partial = f"{path}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, request["mode"])
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(request["data"]))
        os.fchmod(file.fileno(), request["mode"])
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return b""


def get(request):
    """A file's content."""
    with open(request["path"], "rb") as file:
        return file.read()


def files(request):
    """Every file below a folder whose name ends so: JSON, path below the folder to base64."""
    found = {}
    for folder, _, names in os.walk(request["path"]):
        for name in names:
            if name.endswith(request["suffix"]):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, request["path"])] = base64.b64encode(file.read()).decode()
    return json.dumps(found).encode()


def matching(word):
    """The processes whose command line holds the word: `{pid: start time}`; not the lab's own agent."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            if word in command_line(name):
                found[int(name)] = start_time(name)
        except OSError:
            continue
    return {pid: start for pid, start in found.items() if start}


def processes(request):
    """The pids of the processes whose command line holds a word, as JSON."""
    return json.dumps(sorted(matching(request["word"]))).encode()


def kill(request):
    """Signals them; after SIGKILL waits until they are gone. Returns how many there were."""
    found = matching(request["word"])
    count = 0
    for pid in found:
        try:
            os.kill(pid, request["signal"])
            count += 1
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 5
    while request["signal"] == signal.SIGKILL and any(map(alive, found.items())):
        if time.monotonic() > deadline:
            raise OSError(f"processes {sorted(found)} survive SIGKILL")
        time.sleep(0.005)
    return str(count).encode()


FILES = {"put": put, "get": get, "files": files, "processes": processes, "kill": kill}

if __name__ == "__main__":
    serve(sys.argv[1])
