"""Causes in the messages of the embedded engine; its last error is why it ended.

Causes shared with other engines that download from the hub are in `hub`.
"""

from typing import Final

from server.engines.cause import Cause

CAUSES: Final = (
    Cause(
        "revision_not_found",
        "the hub has no such revision of the model",
        "correct what stands behind `@` in `weights`",
        r"on the hub has no revision",
    ),
    Cause(
        "weights_not_found",
        "no weights of the model were found",
        "correct `weights` in the model's section",
        r"on the hub has no file|\.gguf files instead of one",
    ),
    Cause(
        "model_not_found",
        "the hub has no such model, or it is private",
        "correct `weights` in the model's section; for a private model set HF_TOKEN",
        r"on the hub does not exist, or is private",
    ),
    Cause(
        "bad_token",
        "the hub refuses the token",
        "set HF_TOKEN to a token that is valid",
        r"the hub does not accept the token",
    ),
    Cause(
        "weights_missing",
        "there is no file of weights where it was to be",
        "correct `weights` in the model's section",
        r"^the weights .* (does|do) not exist|^cannot read .*: no such file",
    ),
    Cause(
        "wrong_sum",
        "the weights are others than those that were asked for",
        "delete the file and have it fetched again, or correct `weights_sha256`",
        r"has SHA-256 [0-9a-f]+, and",
    ),
    Cause(
        "broken_weights",
        "the weights are damaged or cut short, or no GGUF file",
        "delete the file that the log names, and have it fetched again",
        r"is not a GGUF file|is damaged or cut short",
    ),
    Cause(
        "unsupported_weights",
        "the file is whole, but lacks what this version of llama.cpp needs of a model",
        "take a newer GGUF file of the model, or another model",
        r"key not found in model",
    ),
    Cause(
        "cache_not_writable",
        "the weights cannot be written",
        "see to the owner and the rights of `weights_dir` in [engines], or of the hub's cache",
        r"^cannot write .*: (permission denied|read-only|not a directory)",
    ),
)
