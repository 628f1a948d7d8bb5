"""The registry of dialects: how each one's servers are recognised, and how its upstream is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.dialects.base import Endpoint, Upstream
from server.dialects.http.timeouts import Timeouts
from server.dialects.ollama.upstream import OllamaUpstream
from server.dialects.openai.flavour import Flavour, Sign
from server.dialects.openai.flavours import TGI_OPENAI
from server.dialects.openai.upstream import OpenAIUpstream
from server.dialects.tgi.upstream import TGI


@dataclass(frozen=True)
class Dialect:
    """An API of model servers.

    `make` gets the server's flavour, which only OpenAI's form needs. A server is recognised by any
    of the groups in `recognised_by`, all signs of the group, or as the flavour `serves`, a server
    that speaks OpenAI's form too and is served better by this dialect. `title` names a recognised
    server for people.
    """

    make: Callable[[Endpoint, Flavour, Timeouts], Upstream]
    title: str = ""
    recognised_by: tuple[tuple[Sign, ...], ...] = ()
    serves: str | None = None


DIALECTS: Final = {
    "tgi": Dialect(lambda endpoint, _, timeouts: TGI(endpoint, timeouts), serves=TGI_OPENAI.name),
    "openai": Dialect(OpenAIUpstream),
    "ollama": Dialect(
        lambda endpoint, _, timeouts: OllamaUpstream(endpoint, timeouts),
        title="Ollama",
        recognised_by=(
            (Sign("/api/version", at="version"), Sign("/", like=r"^Ollama is running")),
            (Sign("/api/version", at="version"), Sign("/api/tags", at="models.0.digest")),
        ),
    ),
}
