"""Failures on demand, each with the routes and the number of requests that it hits.

{"method": "GET", "path": REGEX, "count": N, "action": ACTION, ...} where ACTION is one of
`status` (with `status`, and `retry_after` seconds), `hang` (`seconds`, then the connection is closed
without an answer), `cut` (the answer breaks off half way), `drop` (closed without a byte), `delay`
(`seconds`, then as usual), `huge` (`bytes` of JSON, or `chunked`), `garbage` (200, and no JSON).
`"effect": true` lets the request take effect before the answer is spoiled, which is what a lost
answer is; without it nothing has happened (`cut` and `delay` always take effect).
"""

import re
import threading

ACTIONS = ("status", "hang", "cut", "drop", "delay", "huge", "garbage")


class Fault:
    def __init__(self, spec):
        self.action = spec["action"]
        if self.action not in ACTIONS:
            raise ValueError("no such action %r: one of %s" % (self.action, ", ".join(ACTIONS)))
        self.method = spec.get("method")
        self.path = re.compile(spec.get("path", "."))
        self.skip = int(spec.get("skip", 0))
        self.left = int(spec.get("count", 1))
        self.status = int(spec.get("status", 503))
        self.retry_after = spec.get("retry_after")
        self.seconds = float(spec.get("seconds", 1))
        self.bytes = int(spec.get("bytes", 200 * 1024 * 1024))
        self.chunked = bool(spec.get("chunked", False))
        self.effect = bool(spec.get("effect", False)) or self.action in ("cut", "delay")

    def show(self):
        return {"action": self.action, "method": self.method, "path": self.path.pattern, "left": self.left}


class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = []

    def add(self, spec):
        with self.lock:
            self.waiting.append(Fault(spec))

    def clear(self):
        with self.lock:
            self.waiting.clear()

    def take(self, method, target):
        """The fault that hits this request, if any; `target` is the path with its query."""
        with self.lock:
            for fault in self.waiting:
                if fault.left > 0 and fault.method in (None, method) and fault.path.search(target):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.left -= 1
                    return fault
        return None

    def show(self):
        with self.lock:
            return [f.show() for f in self.waiting]
