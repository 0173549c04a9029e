"""Looks for words in the command line and the environment of every process, from the moment at which it becomes a program.

    canary_watch.py PREFIX < {"name": "word", ...}      one line of JSON; it watches until its stdin ends

It prints each finding as a line of JSON, and at its end which programs it has read, by the network namespaces whose names
begin with PREFIX. Started with -I -S: it imports nothing of the lab's. The words come by stdin: they must be in no command
line, its own least of all.

The kernel tells of each execve (process connector), so that a program which lives for a tenth of a second is read too. Where it
does not, and for what a program does to itself later, all processes are read several times a second.
"""

import base64
import json
import os
import select
import socket
import struct
import sys
import time

NETLINK_CONNECTOR, CN_IDX_PROC = 11, 1
LISTEN, EXEC = 1, 2
# netlink header, connector header, then the event: what, cpu, timestamp, pid, thread group.
EVENT_AT, PID_AT = 36, 52
SWEEP_SECONDS = 0.25
BLIND_SWEEP_SECONDS = 0.02
NAMESPACES = "/run/netns"


def forms(word):
    """How a word may be written: as it is, and in base64 wherever it stands in what was encoded."""
    found = [word.encode()]
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + word.encode())
        # What its neighbours change is left out at both ends.
        first, last = (offset * 8 + 5) // 6, (offset + len(word)) * 8 // 6
        found.append(text[first:last])
    return found


class Words:
    """Words to look for, in all their forms at once."""

    def __init__(self, words):
        self.names = {form: name for name, word in words.items() for form in forms(word)}

    def within(self, data):
        """The names of the words that are in these bytes."""
        return sorted({name for form, name in self.names.items() if form in data})

    def hidden(self, data):
        """The bytes with the names in place of the words."""
        for form, name in self.names.items():
            data = data.replace(form, b"<" + name.encode() + b">")
        return data


def listener():
    """A socket on which the kernel tells of each execve, or None where it does not (no right to, or a kernel without)."""
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((0, CN_IDX_PROC))
        body = struct.pack("IIIIHHI", CN_IDX_PROC, 1, 0, 0, 4, 0, LISTEN)
        sock.send(struct.pack("IHHII", 16 + len(body), 3, 0, 0, os.getpid()) + body)
        return sock
    except OSError:
        return None


def read(pid, what):
    """A file of a process; empty where it is gone, or not ours to read."""
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def programs(pid, line):
    """What a process runs: its executable, and of one of Python the script."""
    try:
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return []
    scripts = [word for word in line.split(b"\0")[1:3] if word.startswith(b"/")] if program.startswith("python") else []
    return [program, *(os.path.basename(script).decode("utf-8", "replace") for script in scripts)]


class Watch:
    """What was seen so far."""

    def __init__(self, words, prefix, out):
        self.words = words
        self.prefix = prefix
        self.out = out
        self.told = set()
        self.programs = {}
        self.spaces = {}
        self.own = os.getpid()

    def look(self, pid, began=False):
        """Reads one process. `began`: it has just become this program."""
        if pid == self.own:
            return
        line = read(pid, "cmdline")
        for what, data in (("cmdline", line), ("environ", read(pid, "environ"))):
            for name in self.words.within(data):
                self.tell(pid, what, name, line)
        if began and line:
            space = self.space(pid)
            if space:
                seen = self.programs.setdefault(space, {})
                for program in programs(pid, line):
                    seen[program] = seen.get(program, 0) + 1

    def tell(self, pid, what, name, line):
        if (pid, what, name) in self.told:
            return
        self.told.add((pid, what, name))
        shown = self.words.hidden(line).replace(b"\0", b" ").decode("utf-8", "replace")
        print(json.dumps({"in": what, "word": name, "pid": pid, "of": shown, "space": self.space(pid)}), file=self.out, flush=True)

    def space(self, pid):
        """The name of a process's network namespace, if it is one of those that matter."""
        try:
            inode = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            return None
        if inode not in self.spaces:
            # A machine that booted has a new one.
            self.spaces = {os.stat(f"{NAMESPACES}/{name}").st_ino: name for name in os.listdir(NAMESPACES)} \
                if os.path.isdir(NAMESPACES) else {}
            self.spaces.setdefault(inode, None)
        name = self.spaces[inode]
        return name if name and name.startswith(self.prefix) else None



def watch(words, prefix, source, out):
    """Watches until `source` ends."""
    seen, sock = Watch(Words(words), prefix, out), listener()
    every = SWEEP_SECONDS if sock else BLIND_SWEEP_SECONDS
    print(json.dumps({"watching": True, "told_by_the_kernel": bool(sock)}), file=out, flush=True)
    due, left = time.monotonic(), []
    while True:
        # What has just begun may be over in a moment: it is read before any of a sweep.
        wait = 0.0 if left else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([source] + ([sock] if sock else []), [], [], wait)
        if sock and sock in ready:
            try:
                event = sock.recv(4096)
            except OSError:
                # More than it could keep: what was not told is read at the next sweep.
                due = 0.0
                continue
            if len(event) >= PID_AT and struct.unpack_from("I", event, EVENT_AT)[0] == EXEC:
                seen.look(struct.unpack_from("I", event, PID_AT)[0], began=True)
        elif source in ready:
            if not source.readline():
                break
        elif left:
            seen.look(left.pop())
        elif time.monotonic() >= due:
            left = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
            due = time.monotonic() + every
    print(json.dumps({"programs": seen.programs}), file=out, flush=True)


if __name__ == "__main__":
    watch(json.loads(sys.stdin.readline()), sys.argv[1], sys.stdin, sys.stdout)
