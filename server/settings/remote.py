"""The keys that say how a server that we do not start is asked: one table for two sections.

A `[model ID]` with `runner = remote` names one model of such a server, one with `runner = command`
the server that it starts, and an `[upstream NAME]` takes all models that match. All have the keys
below, with the same meaning.
"""

from dataclasses import dataclass
from typing import Any, Final

from server.dialects.registry import DIALECTS
from server.settings.runners import ASKED_RUNNERS
from server.settings.values import option

_REMOTE: Final = ("remote",)


@dataclass(frozen=True)
class RemoteSettings:
    """Where a server answers, how it is spoken to, and what its answers are like by default."""

    url: str = option(
        "",
        "Address of the model server, such as `http://gpu-box:8000/v1`. With or without `/v1`, and "
        "as any address of its API: what is meant is found out.",
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
        "Key that the server asks for: `env:NAME` for an environment variable, `file:PATH` for a "
        "file that holds nothing else (from this file's folder on), or the key itself.",
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
        "File (PEM) with the certificates that vouch for an `https` server, in place of the "
        "system's.",
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
        "Whether the server unloads one model to answer with another, where it does not tell.",
        only_for=ASKED_RUNNERS,
    )
    vision: str = option(
        "auto",
        "Whether the model takes pictures: `yes`, `no`, or `auto` to go by what its server says. "
        "Where a server does not say, it is asked with them, and its refusal told; TGI refuses "
        "nothing, so that there `auto` means `no` unless the model's hub page says that it sees.",
        choices=("auto", "yes", "no"),
    )
    extra_allowed: tuple[str, ...] = option(
        (),
        "Names that an answer's `extra` may have, which go to the server as they are. Never those "
        "that the gateway writes itself, such as `model` or `max_tokens`.",
        only_for=("command", "docker", "remote"),
    )
    price_in: float | None = option(
        None,
        "US dollars for a million tokens of prompt, where the server does not tell what an answer "
        "cost.",
        low=0,
        only_for=_REMOTE,
    )
    price_out: float | None = option(
        None, "US dollars for a million tokens of answer.", low=0, only_for=_REMOTE
    )
    max_concurrent: int = option(
        0,
        "Answers that the server writes at once, others wait; 0 takes what it says itself.",
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
        """Return what these settings say of the server that it does not tell itself."""
        flags = {"holds_one_model"} if self.holds_one_model else set()
        return frozenset(flags | ({f"num_ctx={self.num_ctx}"} if self.num_ctx else set()))
