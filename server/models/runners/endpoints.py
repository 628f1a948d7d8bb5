"""The endpoint of a server, from a model's settings, with the text of its chat template."""

import asyncio
from pathlib import Path

from server.core.errors import ModelFailed
from server.dialects.base import Endpoint
from server.settings.addresses import Address, is_this_machine
from server.settings.models import ModelSettings


async def described_endpoint(
    address: Address, model: ModelSettings, *, hub_cache: str, likely: str = ""
) -> Endpoint:
    """Return the endpoint at an address, with the dialect and other facts from the settings.

    `hub_cache` is the hub's cache on this machine, which a server here reads, too; `likely` is the
    flavour that its command suggests. Raises what `read_template` raises.
    """
    return Endpoint(
        address.url,
        address.api,
        api_key=model.api_key,
        dialect=model.dialect,
        flavour=model.flavour,
        model=model.model_id,
        headers=tuple(model.headers.items()),
        ca_file=model.ca_file,
        chat_template=await read_template(model.chat_template),
        hub_cache=hub_cache if is_this_machine(address.url) else "",
        flags=model.flags,
        likely=likely,
    )


async def read_template(path: str) -> str:
    """Return the text of a chat template's file, empty for no file.

    Raises `ModelFailed` for a file that cannot be read any more.
    """
    if not path:
        return ""
    try:
        return await asyncio.to_thread(Path(path).read_text, "utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ModelFailed(
            f"the chat template {path} cannot be read: {reason}",
            hint="correct `chat_template` in the model's section",
        ) from None
