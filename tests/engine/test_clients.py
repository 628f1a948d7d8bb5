"""Two clients that nobody here wrote speak to the engine as to any TGI.

`text-generation` asks for an older `huggingface_hub` than the one pinned here, and takes nothing
from it but the building of headers; its types are written for a pydantic that it warns about.
"""

from typing import Any

import huggingface_hub
import pytest

from tests.engine.client import PROMPT, Client
from tests.engine.processes import EngineProcess

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")


@pytest.fixture
async def hub_client(engine: Client) -> Any:
    async with huggingface_hub.AsyncInferenceClient(base_url=engine.url) as client:
        yield client


@pytest.fixture
def other_client(engine: Client) -> Any:
    import text_generation  # type: ignore[import-untyped]

    return text_generation.AsyncClient(engine.url)


async def test_hub_client_streams_with_details(hub_client: Any) -> None:
    stream = await hub_client.text_generation(
        PROMPT, stream=True, details=True, max_new_tokens=8, top_n_tokens=2, return_full_text=False
    )
    events = [event async for event in stream]
    assert len(events) == 8
    assert events[-1].generated_text == "".join(event.token.text for event in events)
    assert events[-1].details.finish_reason == "length"
    assert events[-1].details.generated_tokens == 8
    assert len(events[0].top_tokens) == 2


async def test_hub_client_gets_a_whole_answer(hub_client: Any) -> None:
    answer = await hub_client.text_generation(
        PROMPT, details=True, max_new_tokens=6, do_sample=True, seed=3, return_full_text=False
    )
    assert answer.details.seed == 3
    assert answer.generated_text == "".join(token.text for token in answer.details.tokens)


def test_hub_client_in_its_blocking_form_streams_too(big_process: EngineProcess) -> None:
    with huggingface_hub.InferenceClient(base_url=big_process.url) as client:
        stream: Any = client.text_generation(
            PROMPT, stream=True, details=True, max_new_tokens=4, return_full_text=False
        )
        events = list(stream)
    assert events[-1].generated_text == "".join(event.token.text for event in events)


async def test_hub_client_knows_a_validation_error(hub_client: Any) -> None:
    with pytest.raises(huggingface_hub.errors.ValidationError, match="strictly positive"):
        await hub_client.text_generation(PROMPT, temperature=-1.0, max_new_tokens=2)


async def test_text_generation_client_streams(other_client: Any) -> None:
    events = [
        event
        async for event in other_client.generate_stream(
            PROMPT, max_new_tokens=8, top_n_tokens=2, stop_sequences=["never"]
        )
    ]
    assert [len(event.top_tokens) for event in events] == [2] * 8
    assert events[-1].generated_text == "".join(event.token.text for event in events)
    assert events[-1].details.finish_reason == "length"


async def test_text_generation_client_sees_the_end_token(other_client: Any) -> None:
    from text_generation.types import Grammar, GrammarType  # type: ignore[import-untyped]

    grammar = Grammar(type=GrammarType.Regex, value="yes")
    events = [
        event
        async for event in other_client.generate_stream(PROMPT, max_new_tokens=30, grammar=grammar)
    ]
    assert events[-1].token.special
    assert events[-1].generated_text == "yes"
    assert events[-1].details.finish_reason == "eos_token"


async def test_text_generation_client_gets_a_whole_answer(other_client: Any) -> None:
    answer = await other_client.generate(PROMPT, max_new_tokens=6, do_sample=True, best_of=2)
    assert answer.details.generated_tokens == len(answer.details.tokens) == 6
    assert len(answer.details.best_of_sequences) == 1


async def test_text_generation_client_knows_our_errors(other_client: Any) -> None:
    from text_generation.errors import ValidationError  # type: ignore[import-untyped]

    with pytest.raises(ValidationError, match="`truncate` must be strictly positive and less"):
        await other_client.generate(PROMPT, truncate=100_000)
