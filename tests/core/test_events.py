"""What the server says, written exactly as the protocol's text has it."""

import json

from server.core.protocol import (
    EVENTS,
    Alternative,
    Delta,
    End,
    Error,
    ErrorInfo,
    Event,
    Log,
    LogRecord,
    Model,
    ModelChanged,
    ModelError,
    ModelsChanged,
    Progress,
    Result,
    State,
    StorageChanged,
    Timings,
    TokenInfo,
    Usage,
    encode,
)

MODEL = Model(
    id="gpt2",
    name="GPT-2",
    description="",
    runner="process",
    engine="llama.cpp",
    state="pulling",
    progress=Progress("pulling", 0.42, "…", 31),
    error=None,
    running=0,
    waiting=1,
    limits={"max_input_tokens": None, "max_total_tokens": 4096},
    capabilities={"chat": True, "cancel": True, "logprobs": False},
    parameters={"max_new_tokens": 1024},
)

# The left side is what stands in the protocol, line by line; whitespace apart, nothing differs.
WRITTEN: list[tuple[str, Event]] = [
    ('{"type":"result","id":2,"result":{"generations":["g1","g2"]}}',
     Result(2, {"generations": ["g1", "g2"]})),
    ('{"type":"result","id":3,"result":{}}', Result(3, {})),
    ('{"type":"error","error":{"code":"unknown_model","message":"m"},"id":4}',
     Error(ErrorInfo("unknown_model", "m"), 4)),
    ('{"type":"error","error":{"code":"internal","message":"m","hint":"h","details":{"log":[]}}}',
     Error(ErrorInfo("internal", "m", "h", {"log": []}))),
    ('{"type":"state","generation":"g2","state":"starting"}', State("g2", "starting")),
    ('{"type":"state","generation":"g2","state":"queued","position":1}', State("g2", "queued", 1)),
    ('{"type":"delta","generation":"g1","seq":3,"text":"ificial intel"}',
     Delta("g1", 3, "ificial intel")),
    ('{"type":"delta","generation":"g1","seq":1,"text":"","tokens":['
     '{"id":2,"text":"</s>","logprob":null,"special":true}]}',
     Delta("g1", 1, "", [TokenInfo(2, "</s>", None, special=True)])),
    ('{"type":"delta","generation":"g1","seq":1,"text":"a","tokens":['
     '{"id":5,"text":"a","logprob":-0.5,"special":false,'
     '"top":[{"id":5,"text":"a","logprob":-0.5,"special":false}]}]}',
     Delta("g1", 1, "a",
           [TokenInfo(5, "a", -0.5, special=False, top=[Alternative(5, "a", -0.5)])])),
    ('{"type":"end","generation":"g1","seq":3,"finish_reason":"cancelled",'
     '"usage":{"prompt_tokens":31,"completion_tokens":3},'
     '"timings":{"queued_ms":0.0,"ttft_ms":180.0,"total_ms":260.0,"tokens_per_second":52.1}}',
     End("g1", 3, "cancelled", Usage(31, 3), Timings(0.0, 180.0, 260.0, 52.1))),
    ('{"type":"end","generation":"g1","seq":0,"finish_reason":"failed",'
     '"usage":{"prompt_tokens":null,"completion_tokens":0},'
     '"timings":{"queued_ms":null,"ttft_ms":null,"total_ms":1.0,"tokens_per_second":null},'
     '"error":{"code":"model_failed","message":"m"}}',
     End("g1", 0, "failed", Usage(None, 0), Timings(None, None, 1.0, None),
         ErrorInfo("model_failed", "m"))),
    ('{"type":"model","model":{"id":"gpt2","name":"GPT-2","description":"","runner":"process",'
     '"engine":"llama.cpp","state":"pulling","progress":{"phase":"pulling","fraction":0.42,'
     '"text":"…","eta_seconds":31},"error":null,"running":0,"waiting":1,"limits":'
     '{"max_input_tokens":null,"max_total_tokens":4096},"capabilities":{"chat":true,'
     '"cancel":true,"logprobs":false},"parameters":{"max_new_tokens":1024},"outdated":false,"defaults":{},"server":null,"details":{},"config":null,"replicas":null}}',
     ModelChanged(MODEL)),
    ('{"type":"models","models":[]}', ModelsChanged([])),
    ('{"type":"log","subscription":"l1","lines":[{"time":1.5,"stream":"stdout","text":"Ready"}]}',
     Log("l1", [LogRecord(1.5, "stdout", "Ready")])),
    ('{"type":"conversations","state":"on"}', StorageChanged("on")),
    ('{"type":"conversations","state":"failing","error":{"code":"storage_failed","message":"m"}}',
     StorageChanged("failing", ErrorInfo("storage_failed", "m"))),
]  # fmt: skip


def test_each_event_is_written_as_the_protocol_has_it() -> None:
    for written, event in WRITTEN:
        assert encode([event]).decode() == f"[{written}]"


def test_every_kind_of_event_is_tested_here() -> None:
    assert {type(event) for _, event in WRITTEN} == set(EVENTS)


def test_a_frame_is_an_array_of_all_that_is_due() -> None:
    frame = encode([event for _, event in WRITTEN])
    assert json.loads(frame) == [json.loads(written) for written, _ in WRITTEN]


def test_an_error_of_a_model_has_its_hint_even_if_there_is_none() -> None:
    """`Model.error` is null or `{code, message, hint}`."""
    failed = Result(1, ModelError("model_failed", "m"))
    assert json.loads(encode([failed]))[0]["result"] == {
        "code": "model_failed",
        "message": "m",
        "hint": None,
    }


def test_text_is_utf8_and_whatever_a_model_writes_can_be_sent() -> None:
    text = 'é東🙂\u2028\u0085"\\\x00\r\n'
    frame = encode([Delta("g1", 1, text)])
    assert "é東🙂\u2028".encode() in frame
    assert json.loads(frame)[0]["text"] == text


def test_a_command_may_have_any_id_and_gets_it_back() -> None:
    for command_id in (1, 2**53, 2**64, 10**30):
        assert json.loads(encode([Result(command_id, {})]))[0]["id"] == command_id
