"""Causes why weights cannot be downloaded, in messages of the hub's libraries and of ours."""

from typing import Final

from server.engines.cause import Cause

CAUSES: Final = (
    Cause(
        "gated_model",
        "the model is gated: its owner asks for consent",
        "accept its conditions on the model's page on the hub, and set HF_TOKEN to a token of "
        "the account that did",
        # The hub's client also mentions gated repositories when a repository does not exist.
        r"GatedRepoError|cannot access gated repo|you are trying to access a gated repo"
        r"|awaiting a review from the repo authors|on the hub is gated",
    ),
    Cause(
        "bad_token",
        "the hub refuses the token",
        "set HF_TOKEN, or `hf_token` in [docker], to a token that is valid",
        r"invalid user token|invalid credentials"
        r"|token .{0,40}(is expired|has expired|is not valid)",
    ),
    Cause(
        "revision_not_found",
        "the hub has no such revision of the model",
        "correct `revision` in the model's section",
        r"RevisionNotFoundError|revision not found|invalid rev id|not a valid git identifier",
    ),
    Cause(
        "not_cached",
        "the model is not in the cache, and the hub is not to be asked (offline)",
        "fetch it once with a network, or take HF_HUB_OFFLINE away",
        r"OfflineModeIsEnabled|outgoing traffic has been disabled|offline mode is enabled"
        r"|cannot find an appropriate cached snapshot|HF_HUB_OFFLINE forbids fetching it",
    ),
    Cause(
        "no_network",
        "the hub cannot be reached",
        "check the network, the proxy and HF_ENDPOINT; weights that are in the cache need none",
        r"name or service not known|temporary failure in name resolution|NameResolutionError"
        r"|failed to resolve|max retries exceeded|network is unreachable|no route to host"
        r"|ConnectTimeout|ReadTimeoutError|we couldn't connect to|LocalEntryNotFoundError"
        r"|error sending request for url|NewConnectionError|ConnectError\b"
        r"|failed to establish a new connection|the hub cannot be reached for",
    ),
    Cause(
        "weights_not_found",
        "no weights of the model were found",
        "take another revision, or another model: TGI wants *.safetensors; offline, the model may "
        "not be in the cache: fetch it once with a network",
        r"no \.?(safetensors|bin|pt|gguf) weights found|no local weights found"
        r"|cannot find any model weights|(^|\.)(Remote)?EntryNotFoundError"
        r"|does not appear to have (a file named|files named) (pytorch_model|model)",
    ),
    Cause(
        "not_a_model",
        "there is no such folder, and no model on the hub can have such a name",
        "correct `model_id`: the path of a folder, or OWNER/NAME",
        r"HFValidationError|repo id must (be|use)",
    ),
    Cause(
        "model_not_found",
        "the hub has no such model, or it is private",
        "correct `model_id`; for a private model set HF_TOKEN",
        r"RepositoryNotFoundError|repository not found|401 client error|404 client error"
        r"|is not a valid model identifier|invalid username or password",
    ),
    Cause(
        "no_package_index",
        "the package index that has the weights cannot be reached",
        "check the network and the proxy; weights that were fetched once need neither",
        r"the package index cannot be reached",
    ),
)
