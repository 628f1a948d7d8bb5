"""Chats as an export has them, so that a gateway can be given as many as a year brings."""

import json
import random
import time
from typing import Any
from urllib.request import Request, urlopen

MODELS = ("small", "brief", "qwen3-8b-instruct", "llama-3.1-8b")
TOPICS = (
    ("A week in Bergen", "What can one see in Bergen in a week of rain?"),
    ("", "Explain how a hash table resizes, with the cost of each insertion."),
    ("", "Write a haiku about a lighthouse keeper's cat."),
    ("Rust or Go for the relay", "Compare Rust and Go for a small TCP relay."),
    ("", "Why is the sky blue at noon and red in the evening?"),
    ("", "東京から京都まで、新幹線でどのくらいかかりますか。"),
    ("Tea", "How long should oolong steep, and at what temperature?"),
    ("", "Übersetze: The quick brown fox jumps over the lazy dog."),
    ("", "اكتب رسالة قصيرة إلى جارتي عن القط"),
    ("Backup plan", "Draft a backup plan for a home server with two disks."),
    ("", "Refactor this function so that it has no nested loops."),
    ("Names for a boat", "Suggest ten names for a small wooden sailing boat."),
)
ANSWERS = (
    "**In short:** it depends on `n`. See the [table](https://example.org) below.",
    "1. Begin with the *simple* case.\n2. Then measure.\n3. Only then change anything.",
    "About three minutes, at 90 °C. A second infusion takes a little longer.",
    "東京駅から京都駅まで、のぞみで約2時間15分です。",
)


def chat(number: int, age_seconds: float, *, turns: int = 2, **more: Any) -> dict[str, Any]:
    """Return an export of a chat that was changed so long ago."""
    chance = random.Random(number)
    title, prompt = TOPICS[number % len(TOPICS)]
    at = time.time() - age_seconds
    models = chance.sample(MODELS, chance.choice((1, 2, 2, 3)))
    columns = [{"id": f"c{place}", "model": model} for place, model in enumerate(models)]
    conversation = {
        "id": f"c_{number}",
        "title": f"{title} {number}" if title else "",
        "created": at,
        "updated": at,
        "columns": columns,
        "turns": [
            {
                "id": f"t{turn}",
                "parent": f"t{turn - 1}" if turn else None,
                "text": f"{prompt} ({number}.{turn})",
                "created": at,
            }
            for turn in range(turns)
        ],
        "answers": [
            {
                "id": f"a{turn}{column['id']}",
                "turn": f"t{turn}",
                "column": column["id"],
                "model": column["model"],
                "created": at,
                "state": "ended",
                "finish_reason": "stop",
                "text": ANSWERS[(number + turn + place) % len(ANSWERS)],
            }
            for turn in range(turns)
            for place, column in enumerate(columns)
        ],
        **more,
    }
    return {
        "format": "sidestream-conversation",
        "version": 2,
        "exported": at,
        "server": "0",
        "conversation": conversation,
    }


def ages(count: int) -> list[float]:
    """Return how long ago so many chats were changed: several a day, in the end one a day."""
    steps = [1_500 + 400 * number for number in range(count)]
    return [float(sum(steps[:number])) for number in range(count)]


def give(url: str, chats: list[dict[str, Any]]) -> list[str]:
    """Have a gateway import these chats; return their ids, the newest first."""
    request = Request(
        f"{url}conversations/import",
        data=json.dumps(chats).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(request) as response:
        ids: list[str] = json.load(response)["ids"]
    return ids
