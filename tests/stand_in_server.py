"""The few answers that `wandb sync` needs of a server, from this machine: it keeps the history that it is sent."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = re.compile(r"(?:query|mutation)\s+(\w+)")
ENTITY = {"id": "e", "name": "somebody"}
PROJECT = {"id": "p", "name": "cspine", "entity": ENTITY}

History = list[tuple[int, list[int]]]  # the line at which a piece begins, and the steps of its lines


@contextlib.contextmanager
def stand_in_server() -> Iterator[tuple[str, History]]:
    """A server's address, and the pieces of history that it has been sent by the end."""
    history: History = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "otel" in self.path:  # the client's word on itself, no JSON
                self._answer({})
                return
            asked = json.loads(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            if "graphql" in self.path:
                self._answer({"data": _data(asked, history)})
                return
            for name, piece in (asked.get("files") or {}).items():
                if name.endswith("history.jsonl"):
                    history.append((piece["offset"], [json.loads(line)["_step"] for line in piece["content"]]))
            self._answer({})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer({})

        def do_GET(self) -> None:
            self._answer({})

        def _answer(self, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", history
    finally:
        server.shutdown()
        server.server_close()


def _data(asked: dict[str, Any], history: History) -> dict[str, Any]:
    """The answer to one request of GraphQL; what is not known here is unknown to the server."""
    found = NAME.search(asked.get("query", ""))
    name = found[1] if found else ""
    lines = max((offset + len(steps) for offset, steps in history), default=0)
    bucket: dict[str, Any] = {"id": "r", "name": "run", "displayName": "run", "config": "{}", "summaryMetrics": "{}"}
    bucket |= {"project": PROJECT, "historyTail": "[]", "eventsTail": "[]", "wandbConfig": "{}", "tags": []}
    bucket |= {"historyLineCount": lines, "eventsLineCount": 0, "logLineCount": 0}
    if name == "UpsertBucket":
        return {"upsertBucket": {"bucket": bucket, "inserted": not lines}}
    if name == "RunResumeStatus":
        return {"model": {**PROJECT, "bucket": bucket if lines else None}}
    if name == "CreateRunFiles":
        return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}}
    return {}
