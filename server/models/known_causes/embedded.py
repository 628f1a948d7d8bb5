"""What the embedded engine says, whose last error is why it ended, and which says it in words."""

from typing import Final

from server.models.known_causes.cause import Cause

CAUSES: Final = (
    Cause(
        "gated_model",
        "the model is gated: its owner asks for consent",
        "accept its conditions on the model's page on the hub, and set HF_TOKEN to a token of "
        "the account that did",
        r"on the hub is gated",
    ),
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
        "not_cached",
        "the model is not in the cache, and the hub is not to be asked (offline)",
        "fetch it once with a network, or take HF_HUB_OFFLINE away",
        r"HF_HUB_OFFLINE forbids fetching it",
    ),
    Cause(
        "no_network",
        "the hub cannot be reached",
        "check the network, the proxy and HF_ENDPOINT; weights that are in the cache need none",
        r"the hub cannot be reached for",
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
        r"is not a GGUF file|is damaged or cut short|key not found in model",
    ),
    Cause(
        "cache_not_writable",
        "the weights cannot be written",
        "see to the owner and the rights of `weights_dir` in [engines], or of the hub's cache",
        r"^cannot write .*: (permission denied|read-only|not a directory)",
    ),
)
