"""A small HTTP client that asks from inside a network namespace."""

import http.client
import json
from typing import Any

from novalab import net


class HttpError(OSError):
    """An answer with a status of 400 or more."""

    def __init__(self, status: int, body: str, where: str) -> None:
        super().__init__(f"{where}: HTTP {status}: {body[:300]}")
        self.status = status
        self.body = body


def call(namespace: str, method: str, address: str, port: int, path: str, body: object = None,
         headers: dict[str, str] | None = None, timeout: float = 5.0) -> Any:
    """One request; returns the parsed JSON answer (None where empty, text where it is no JSON)."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    connection.sock = net.connect(namespace, address, port, timeout)
    data = None
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        data = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    elif body is not None:
        data = body if isinstance(body, bytes) else str(body).encode()
    try:
        connection.request(method, path, body=data, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise HttpError(answer.status, text, f"{method} {address}:{port}{path}")
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
