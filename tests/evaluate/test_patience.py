"""A gateway that is away: it is waited for, said once, and not for ever."""

import pytest

from server.evaluate import patience
from server.evaluate.patience import Patience
from server.evaluate.refused import Refused


async def test_that_the_gateway_is_away_is_said_once_for_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0)
    said: list[str] = []
    waiting = Patience(said.append)
    await waiting.wait("it broke off")
    # A connection that breaks and is made again is nothing to speak of.
    waiting.met()
    await waiting.wait("it broke off")
    assert said == []
    for _ in range(3):
        await waiting.wait("refused")
    assert said == ["the gateway is away, waiting…"]
    waiting.met()
    for _ in range(2):
        await waiting.wait("refused")
    assert len(said) == 2


async def test_a_gateway_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0)
    waiting = Patience(lambda _: None)
    await waiting.wait("refused")
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", -1)
    with pytest.raises(Refused, match="it is gone"):
        await waiting.wait("it is gone")
