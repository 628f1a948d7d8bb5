"""Requests that follow from openapi.json, and others that do not: each is answered as it says.

The gateway runs in a thread of its own, before a fake TGI; the requests are schemathesis's.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import huggingface_hub.constants
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.core.result import Ok

from server.core.parameter_rules import is_number
from server.dialects.tgi.parameters import TGI_LACKS, TGI_LIMITS
from server.settings.tables import Settings
from server.web.http.api import OPERATIONS
from server.web.http.openapi import Description
from tests.fakes.tgi import serve
from tests.fakes.tgi_options import FakeOptions
from tests.web.gateway import remote, running, server_settings

# Requests for each operation; SIDESTREAM_FUZZING=1000 looks harder, and elsewhere each time.
EXAMPLES = int(os.environ.get("SIDESTREAM_FUZZING", "8"))

# Of an import almost everything at random is refused at the first field: it has tests of its own.
schema = schemathesis.openapi.from_dict(Description(OPERATIONS).document).exclude(
    path="/conversations/import"
)

# Words that name no model, bytes that are no file we take, and prompts without what their template
# and checks need are refused by their meaning.
OF_FREE_CONTENT = {
    *("POST /catalog", "POST /catalog/look", "PUT /attachments"),
    *("POST /prompt-sets", "PUT /prompt-sets", "PUT /prompt-sets/look"),
    *("POST /prompt-sets/{id}/prompts", "PUT /prompt-sets/{id}/prompts"),
}


class _Server:
    """A gateway in a thread, since schemathesis waits where it asks."""

    def __init__(self) -> None:
        self.url = ""
        self.conversation = ""
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> "_Server":
        self._thread.start()
        assert self._listens.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _run(self) -> None:
        async with serve(FakeOptions(answer_tokens=3)) as fake:
            models = {"m": remote(fake.url)}
            async with running(Settings(server=server_settings(), models=models)) as gateway:
                self.url = gateway.url
                begun = await gateway.post("/conversations", {"title": "Fuzzing"})
                self.conversation = begun.json["id"]
                self._listens.set()
                await self._stop.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    # A name at random may be one that the real hub has.
    with pytest.MonkeyPatch.context() as patch, _Server() as found:
        patch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
        yield found


def _keep_to_what_tgi_takes(body: Any) -> None:
    """Take out of a body what TGI, which all of them go to, refuses, and others take."""
    if not isinstance(body, dict):
        return
    parameters = body.get("parameters")
    for fields in (body, parameters):
        if isinstance(fields, dict):
            for name in TGI_LACKS:
                fields.pop(name, None)
            if isinstance(grammar := fields.get("grammar"), dict):
                # Of a value at random hardly any is a schema or a regular expression.
                grammar["value"] = "a+" if grammar.get("type") == "regex" else {}
            if isinstance(texts := fields.get("stop"), list):
                texts[:] = filter(None, texts)
    for name in ("logprobs", "top_logprobs"):
        if is_number(body.get(name)):
            body[name] = min(body[name], TGI_LIMITS.max_top_n_tokens)
    if isinstance(stop := body.get("stop"), list):
        del stop[TGI_LIMITS.max_stop_sequences :]
    if isinstance(wishes := body.get("sidestream"), dict):
        # No model's settings allow any.
        wishes.pop("extra", None)
        if "messages" not in body:
            wishes.pop("trim", None)  # A text has no turns.


def _keep_to_rules_between_messages(body: Any) -> None:
    """Take out of a body what refers to something else: calls, their answers, attachments."""
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in messages if isinstance(messages, list) else ():
        for name in ("tool_calls", "tool_call_id"):
            message.pop(name, None)
        if message.get("role") == "tool":
            message["role"] = "user"
        content = message.get("content")
        if isinstance(content, list):
            content[:] = [part for part in content if part.get("type", "text") == "text"]
        message["content"] = content or "Why?"


def _cases() -> Iterator[tuple[str, GenerationMode]]:
    """Yield operations with the kinds of requests there are: of a path alone none is malformed."""
    for one in schema.get_all_operations():
        assert isinstance(one, Ok)
        operation = one.ok()
        yield operation.label, GenerationMode.POSITIVE
        if operation.body or operation.query:
            yield operation.label, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("label", "mode"), [*_cases()])
def test_every_answer_is_as_described(label: str, mode: GenerationMode, server: _Server) -> None:
    method, path = label.split()
    cases = schema[path][method].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="SIDESTREAM_FUZZING" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        # Names at random are of no model; half of them become that of the one there is.
        for place, name in ((case.path_parameters, "id"), (case.body, "model")):
            if (
                isinstance(place, dict)
                and isinstance(place.get(name), str)
                and len(place[name]) % 2
            ):
                is_kept = case.path.startswith("/conversations") and name == "id"
                place[name] = server.conversation if is_kept else "m"
        if mode.is_positive:
            _keep_to_what_tgi_takes(case.body)
            _keep_to_rules_between_messages(case.body)
        if case.path.endswith("/logs") and case.query.get("follow") not in ("maybe", "2"):
            case.query.pop("follow", None)  # It goes on for ever.
        free = [positive_data_acceptance] if label in OF_FREE_CONTENT else []
        case.call_and_validate(base_url=server.url, timeout=20, excluded_checks=free)

    ask()
