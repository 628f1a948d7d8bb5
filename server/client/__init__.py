"""A client for other programs; needs aiohttp and nothing else of this server.

async with connect("ws://127.0.0.1:8000/ws") as client:
    answers = await client.generate(["smollm2-135m", "smollm2-135m-brief"], "What is AI?")
    async for text in answers[0]:
        print(text, end="", flush=True)
    print(answers[0].reasoning)
    print((await answers[1].result()).text)
"""

from server.client.attachments import Attachment
from server.client.client import Client, connect
from server.client.connection import ConnectionState, Rhythm
from server.client.generation import Generation
from server.client.messages import (
    Cost,
    LogLine,
    Model,
    ModelConfig,
    ModelServer,
    Notice,
    Piece,
    Progress,
    Result,
    SidestreamError,
    Target,
    Timings,
    Token,
    ToolCall,
    Usage,
)
from server.client.prompts import RunAnswer
from server.client.runs import Run, RunJudge, RunTarget

__all__ = [
    "Attachment",
    "Client",
    "ConnectionState",
    "Cost",
    "Generation",
    "LogLine",
    "Model",
    "ModelConfig",
    "ModelServer",
    "Notice",
    "Piece",
    "Progress",
    "Result",
    "Rhythm",
    "Run",
    "RunAnswer",
    "RunJudge",
    "RunTarget",
    "SidestreamError",
    "Target",
    "Timings",
    "Token",
    "ToolCall",
    "Usage",
    "connect",
]
