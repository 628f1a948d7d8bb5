"""The keys for the address, the API and the answers of a server, shared by two kinds of sections.

A `[model ID]` with `runner = remote` names one model of a remote server, one with
`runner = command` the server that it starts, and an `[upstream NAME]` takes all models that match.
The keys below mean the same in all three.
"""

from dataclasses import dataclass
from typing import Any, Final

from server.dialects.registry import DIALECTS
from server.settings.runners import ASKED_RUNNERS
from server.settings.values import option

_REMOTE: Final = ("remote",)


@dataclass(frozen=True)
class RemoteSettings:
    """The address of a server, its API, and the defaults of its answers."""

    url: str = option(
        "",
        "Address of the model server, such as `http://gpu-box:8000/v1`, with or without `/v1`. "
        "Any address of its API is understood.",
        only_for=ASKED_RUNNERS,
    )
    dialect: str = option(
        "auto",
        "API that the server is asked by: `tgi`, `openai` (vLLM, llama.cpp, LM Studio, providers "
        "and most others) or `ollama`. `auto` asks the server.",
        choices=("auto", *DIALECTS),
        only_for=ASKED_RUNNERS,
    )
    flavour: str = option(
        "",
        "Which server of OpenAI's form it is, such as `vllm` or `llama.cpp`. Empty asks the "
        "server.",
        pattern=r"[a-z0-9.-]*",
        only_for=ASKED_RUNNERS,
    )
    api_key: str = option(
        "",
        "Key for the server: `env:NAME` for an environment variable, `file:PATH` for a file that "
        "holds nothing else (relative to this file's folder), or the key itself.",
        secret=True,
        only_for=ASKED_RUNNERS,
    )
    headers: dict[str, str] = option(
        {},
        "Header fields for every request to the server, as a JSON object. Values may be `env:NAME` "
        "or `file:PATH`, as for `api_key`.",
        secret=True,
        only_for=ASKED_RUNNERS,
    )
    ca_file: str = option(
        "",
        "File (PEM) with the certificates to trust for an `https` server, instead of the system's.",
        only_for=ASKED_RUNNERS,
    )
    num_ctx: int = option(
        0,
        "Context in tokens that Ollama loads a model with; a change reloads it. 0 leaves it to "
        "Ollama.",
        low=0,
        only_for=ASKED_RUNNERS,
    )
    holds_one_model: bool = option(
        False,
        "Whether the server unloads one model to answer with another, if it does not tell this "
        "itself.",
        only_for=ASKED_RUNNERS,
    )
    vision: str = option(
        "auto",
        "Whether the model takes pictures: `yes`, `no`, or `auto` for what its server says. If "
        "the server does not say, pictures are sent to it and a refusal is shown. TGI refuses "
        "nothing: there `auto` means `no` unless the model's hub page says that it takes "
        "pictures.",
        choices=("auto", "yes", "no"),
    )
    extra_allowed: tuple[str, ...] = option(
        (),
        "Names of fields that `extra` in a request may have; they go to the server unchanged. "
        "Fields that the gateway writes itself, such as `model` or `max_tokens`, cannot be "
        "allowed.",
        only_for=("command", "docker", "remote"),
    )
    price_in: float | None = option(
        None,
        "US dollars for a million tokens of prompt, if the server does not tell what an answer "
        "cost.",
        low=0,
        only_for=_REMOTE,
    )
    price_out: float | None = option(
        None, "US dollars for a million tokens of answer.", low=0, only_for=_REMOTE
    )
    max_concurrent: int = option(
        0,
        "Answers that the server writes at once; others wait. 0 takes what the server says.",
        low=0,
    )
    system: str = option(
        "",
        "System prompt put before every conversation. Everybody who may use the model can read it.",
    )
    parameters: dict[str, Any] = option(
        {},
        "Default generation parameters, as a JSON object with TGI's names. `max_new_tokens` is "
        "by default what the context leaves; see `default_length` in [answers].",
    )

    @property
    def flags(self) -> frozenset[str]:
        """Return facts about the server that it does not report itself."""
        flags = {"holds_one_model"} if self.holds_one_model else set()
        return frozenset(flags | ({f"num_ctx={self.num_ctx}"} if self.num_ctx else set()))
