"""The HTTP reference as Markdown, and the texts that it shares with the page at `/docs`.

`python -m server.web.http.reference` writes `docs/API_REFERENCE.md`; a test compares it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from server.web.http.openapi import REF, Description, Schema
from server.web.http.operations import EVENTS, JSON, Operation

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "API_REFERENCE.md"
ADDRESS: Final = "http://127.0.0.1:8000"
MODEL: Final = "smollm2-135m"

_LIMITS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}


_BEFORE: Final = """
# HTTP reference

The page uses one WebSocket, `GET /ws`, for everything; see [PROTOCOL.md](PROTOCOL.md). This
reference is for tools that use HTTP: our own API, that of Hugging Face's Text Generation
Inference (TGI), and OpenAI's. All of them use the same models, queues and limits.
`GET /openapi.json` is the same reference for programs.

- The first request for a model that is not running starts it, and waits. A stream then
  begins with comments, one every `keep_alive` seconds (see [SETTINGS.md](SETTINGS.md)).
- Closing the connection ends the answer and frees its slot in the model server.
- An error before the first token has an HTTP status. A later error is the last event of the
  stream.
- Statuses 429 and 503 come with `Retry-After`.
- Superfluous slashes in an address (`//v1/models`, `/v1//completions`, `/models/`) are ignored.
- Unknown fields of a body are ignored; unknown generation parameters are refused.
- If the server has keys, requests need `Authorization: Bearer KEY`; without it the answer is 401.
  Operations for operators (start, stop, logs, metrics) are refused to users with 403. See
  [SECURITY.md](SECURITY.md).
- Requests with a foreign `Host`, and requests from pages of another origin, are refused with 403.
  `allowed_hosts` in the settings allows names in addition to loopback names and addresses.

Clients of TGI take `http://HOST:PORT/models/{id}` as the server's address:

```python
from huggingface_hub import InferenceClient

client = InferenceClient("http://127.0.0.1:8000/models/smollm2-135m")
for word in client.text_generation("The sea is", max_new_tokens=20, stream=True):
    print(word, end="", flush=True)
```

Clients of OpenAI's API take `http://HOST:PORT/v1` as the base URL:

```python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
answer = client.chat.completions.create(
    model="smollm2-135m",
    messages=[{"role": "user", "content": "What is a lighthouse for?"}],
    max_tokens=40,
)
print(answer.choices[0].message.content)
```

Pictures are parts of a user's message (`image_url`) with a `data:` URL; other addresses are not
fetched. A model that takes none is refused by name (`cannot_see`), or asked without if `lenient`
says so.

Features of OpenAI's API that no model here supports (such as several answers at once) are
refused, not ignored. Features that only some servers support (`min_p`, `presence_penalty`,
`logit_bias`, more than 5 `top_logprobs`, more than 4 `stop`) are passed on, and refused by name if
the model's server is known not to support them. Parameters that a request does not set are as the
model's settings say; `max_tokens` -1, `top_p` 0 and an empty `stop` count as not set, or as off.

The field `sidestream` is our extension of both APIs. In a request, `{"lenient": true}` leaves out
parameters that the model's server refuses, and `extra` is an object that goes to the server
unchanged, if the model's settings allow its names. In a whole answer, and in the last event of a
stream, it has `notices` (such as a parameter that was left out, or a prompt that was
cut), `cost` in US dollars, and `answered_by` (who answered behind a router). It is present only if
it has any of these.

In TGI's form, and over the WebSocket, an answer includes the stop sequence that ended it if it came
from TGI or from the gateway's own engine; other servers leave it out. In OpenAI's form it is always
left out. Generation ends at a stop sequence in any case, also inside a token.

## The page

| request | answer |
|---|---|
| `GET /` | the chat page |
| `GET /ws` | the WebSocket |
| `GET /docs` | this reference |
| `GET /static/{version}/{name}` | the pages' files, for ever the same under one version |
| `GET /favicon.ico` | where the icon is |
| `GET /sign-in` | the page for signing in, where there are keys |
| `POST /sign-in` | with a form that has a `key`: a cookie that stands for it |
| `POST /sign-out` | the end of that |
"""


@dataclass(frozen=True)
class Field:
    """One field of a type, or of a query."""

    name: str
    type: str
    is_required: bool
    about: str


def fields_of(schema: Schema) -> list[Field]:
    """Return the fields of a type."""
    required = schema.get("required", ())
    return [
        Field(name, type_words(field), name in required, field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


def query_of(description: Description, operation: Operation) -> list[Field]:
    """Return the fields of an operation's query."""
    return [
        Field(
            query.name,
            f"{type_words(description.schema(query.type))}, {json.dumps(query.default)} if absent",
            False,
            query.about,
        )
        for query in operation.query
    ]


def type_words(schema: Schema) -> str:
    """Say in words what a schema takes; types with a section of their own stand in backticks."""
    return ", ".join([_kind(schema), *_limits(schema)])


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].removeprefix(REF)}`"
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_words(choice) for choice in schema["anyOf"])
    kind: str = schema.get("type", "anything")
    if kind == "array":
        return f"array of {type_words(schema.get('items', {}))}"
    return kind


def _limits(schema: Schema) -> Iterator[str]:
    for name, words in _LIMITS.items():
        if name in schema:
            yield words.format(schema[name])


def body_of(description: Description, operation: Operation) -> str:
    """Return what an operation's body is, in words."""
    if operation.body_type != JSON:
        return operation.body_type
    return type_words(description.schema(operation.body))


def replies_of(description: Description, operation: Operation) -> list[tuple[str, str]]:
    """Return what an operation answers: status, and words for it."""
    replies = []
    for reply in (operation.reply, *operation.also):
        contents = []
        for kind, body in reply.content.items():
            words = type_words(description.schema(body))
            what = words
            if kind == EVENTS:
                failure = type_words(description.schema(reply.breaks_off_with))
                what = f"events of {words}, one of {failure} if it breaks off"
            contents.append(what if kind in (JSON, EVENTS) else kind)
        replies.append((str(reply.status), " ".join([reply.about, *_sentence(contents)])))
    if operation.errors:
        statuses = ", ".join(map(str, operation.errors))
        replies.append((statuses, f"`{operation.form.struct.__name__}`"))
    return replies


def _sentence(contents: list[str]) -> list[str]:
    words = " or ".join(contents)
    return [f"{words[:1].upper()}{words[1:]}."] if words else []


def pieces(text: str) -> list[tuple[str, bool]]:
    """Cut text at its backticks; tell of each piece whether it stood in them."""
    return [(piece, place % 2 == 1) for place, piece in enumerate(text.split("`")) if piece]


def example(operation: Operation, address: str = ADDRESS, model: str = MODEL) -> str:
    """Return a line for a shell that asks this gateway and model, if there is an example of it."""
    if not operation.example:
        return ""
    words = ["curl"]
    if EVENTS in operation.reply.content:
        words.append("-N")
    if operation.method != "GET" and operation.body is None:
        words.append(f"-X {operation.method}")
    words.append(f"{address}{operation.path.replace('{id}', quote(model))}")
    if isinstance(operation.example, dict):
        body = json.dumps(
            {name: model if name == "model" else value for name, value in operation.example.items()}
        )
        words.append(f"-H 'Content-Type: application/json' \\\n  -d '{body}'")
    return " ".join(words)


def render(description: Description) -> str:
    """Return the whole reference."""
    parts = [_BEFORE.strip("\n")]
    for group in description.groups:
        parts.append(f"## {group}")
        for operation in description.operations:
            if operation.group == group:
                parts += _operation(description, operation)
    parts.append("## Types")
    for name, schema in description.types.items():
        parts += [f"### {name}", *_about(schema), *_table(fields_of(schema))]
    return "\n\n".join(parts) + "\n"


def _operation(description: Description, operation: Operation) -> Iterator[str]:
    yield f"### `{operation.method} {operation.path}`"
    yield operation.about
    if operation.body is not None:
        yield f"Body: {_linked(body_of(description, operation))}."
    yield from _table(query_of(description, operation))
    replies = replies_of(description, operation)
    rows = [f"| {status} | {_linked(words)} |" for status, words in replies]
    yield "\n".join(["| status | answer |", "|---|---|", *rows])
    line = example(operation)
    if line:
        yield f"```sh\n{line}\n```"


def _about(schema: Schema) -> Iterator[str]:
    if "description" in schema:
        yield schema["description"]
    if not schema.get("properties"):
        yield f"{_linked(type_words(schema))}."


def _linked(words: str) -> str:
    """Make the names of types links to their sections."""
    return re.sub(r"`([A-Z]\w+)`", lambda name: f"[{name[0]}](#{name[1].lower()})", words)


def _table(fields: list[Field]) -> Iterator[str]:
    if not fields:
        return
    rows = [
        f"| `{field.name}`{' (required)' if field.is_required else ''} | {_linked(field.type)} "
        f"| {field.about} |"
        for field in fields
    ]
    yield "\n".join(["| field | | |", "|---|---|---|", *rows])


DOCS_WORDS: Final = {
    "body_of": body_of,
    "example": example,
    "fields_of": fields_of,
    "pieces": pieces,
    "query_of": query_of,
    "replies_of": replies_of,
    "type_words": type_words,
}
"""What the page's template calls."""


def main() -> None:
    """Write the reference anew."""
    from server.web.http.api import OPERATIONS

    PAGE.write_text(render(Description(OPERATIONS)), encoding="utf-8")


if __name__ == "__main__":
    main()
