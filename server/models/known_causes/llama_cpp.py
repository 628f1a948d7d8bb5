"""What llama.cpp's server says, as of builds of 2026, and the embedded engine with it."""

from typing import Final

from server.models.known_causes.cause import Cause

CAUSES: Final = (
    Cause(
        "broken_weights",
        "the weights are damaged or cut short, or no GGUF file",
        "delete the file that the log names, and have it fetched again",
        r"failed to read key-value pairs|invalid magic characters|failed to read tensor"
        r"|is not a gguf file|failed to read (header|magic)",
    ),
    Cause(
        "weights_missing",
        "there is no file of weights where it was to be",
        "correct the path of the weights",
        r"failed to open gguf file '.*' \(no such file|exactly one out metadata, path_model",
    ),
    Cause(
        "bad_template",
        "the model's chat template does not parse",
        "take another model, or another chat template",
        r"common_chat_templates_init: error|supplied chat template is not supported",
    ),
    Cause(
        "memory_refused",
        "the machine does not give the model server the memory that it asks for",
        "free memory, ask for a smaller context, or take a smaller model",
        r"failed to allocate (buffer|compute)|unable to allocate .{0,40}buffer"
        r"|failed to initialize the context",
    ),
)
