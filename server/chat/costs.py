"""What an answer cost: as its server says, or by the prices in the settings.

A sum of which a part is unknown is unknown, which is not the same as nothing.
"""

from typing import Final

from server.core.generation import Generation
from server.core.protocol import Cost
from server.dialects.base import Finish
from server.models.catalogue.catalog import ModelSpec

_TOKENS_PER_PRICE: Final = 1_000_000


def cost_of(model: ModelSpec, generation: Generation, finish: Finish) -> Cost | None:
    """Return what an answer cost, None if that is unknown.

    An answer that was cut short costs its prompt and the tokens that came. Where none came it is
    unknown how much of the prompt the server had read.
    """
    was_answered = finish.reason in ("stop", "length")
    if finish.cost is not None or finish.is_cached or not (was_answered or generation.seq):
        return finish.cost
    prompt, completion = finish.prompt_tokens, finish.completion_tokens
    return estimated_cost(
        generation.prompt_tokens if prompt is None else prompt,
        generation.token_count if completion is None else completion,
        price_in=model.settings.price_in,
        price_out=model.settings.price_out,
    )


def estimated_cost(
    prompt_tokens: int | None,
    completion_tokens: int | None,
    *,
    price_in: float | None,
    price_out: float | None,
) -> Cost | None:
    """Return the cost by set prices, in US dollars per million tokens; None where it is unknown.

    A count may be unknown where its price is 0.
    """
    amounts = []
    for tokens, price in ((prompt_tokens, price_in), (completion_tokens, price_out)):
        if price is None or (tokens is None and price > 0):
            return None
        amounts.append((tokens or 0) * price)
    return Cost(sum(amounts) / _TOKENS_PER_PRICE, estimated=True)
