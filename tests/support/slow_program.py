"""A server of OpenAI's form that answers before it has loaded.

`python -m tests.support.slow_program PORT HOW FILE` has loaded once FILE is there. Until then it
answers as HOW says:

    503      that it loads the model, as llama.cpp's server does
    404      that there is nothing, of each route
    empty    with a list without models
    health   that it is well, and nothing else
"""

import http.server
import json
import os
import sys
from typing import Any

_LIST = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "somebody"}]}


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        how, file = sys.argv[2:]
        is_list = self.path.endswith("/models")
        if os.path.exists(file):  # noqa: PTH110
            self._answer(200 if is_list or self.path == "/health" else 404, _LIST)
        elif how == "503":
            self._answer(503, {"error": {"message": "Loading model", "code": 503}})
        elif how == "empty" and is_list:
            self._answer(200, {"object": "list", "data": []})
        else:
            is_well = how == "health" and self.path == "/health"
            self._answer(200 if is_well else 404, {})

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
