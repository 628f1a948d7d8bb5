"""What an answer costs by the prices in the settings, where its server does not tell.

A sum of which a part is unknown is unknown, which is not the same as nothing.
"""

from typing import Final

from server.core.protocol import Cost

_TOKENS_PER_PRICE: Final = 1_000_000


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
