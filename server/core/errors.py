"""Every error that reaches a user, in one tree.

    SidestreamError            internal
    ├── InvalidCommand         invalid_command
    │   ├── UnknownType        unknown_type
    │   ├── Contradiction      invalid_command
    │   ├── UnknownServer      invalid_command
    │   ├── InvalidParameters  invalid_parameters
    │   ├── PromptTooLong      prompt_too_long
    │   ├── CannotSee          cannot_see
    │   ├── InvalidPromptSet   invalid_prompt_set
    │   └── InvalidAttachment  invalid_attachment
    │       ├── UnsupportedAttachment  unsupported_attachment
    │       └── AttachmentTooLarge     too_large
    ├── UnknownAttachment      unknown_attachment
    ├── AttachmentLimit        attachment_limit
    ├── UnknownModel           unknown_model
    ├── UnknownGeneration      unknown_generation
    ├── UnknownConversation    unknown_conversation
    ├── ConversationLimit      conversation_limit
    ├── ConversationsOff       conversations_off
    ├── UnknownPromptSet       unknown_prompt_set
    ├── UnknownRun             unknown_run
    ├── RunLimit               run_limit
    ├── RunsOff                runs_off
    ├── StorageFailed          storage_failed
    ├── ModelFailed            model_failed
    ├── EngineError            engine_error
    │   ├── EngineLost         engine_error
    │   ├── EngineOverloaded   engine_overloaded
    │   │   └── EngineLimited  engine_limited
    │   └── EngineTimeout      engine_timeout
    ├── QueueFull              queue_full
    ├── RateLimited            rate_limited
    ├── Unauthorized           unauthorized
    ├── Forbidden              forbidden
    ├── SessionLimit           session_limit
    │   └── ServerFull         session_limit
    └── ShuttingDown           shutting_down

A class carries its wire code and its HTTP status, so that both transports write the same error
without deciding anything. Errors of libraries (aiohttp, aiodocker) and of model servers are
translated into this tree at one place per library, where the library is called.
"""

from typing import Any, ClassVar


class SidestreamError(Exception):
    """Tell a user what went wrong, in words and with a code a program can act on.

    `hint` says what the user can do about it; `details` holds machine-readable
    facts such as the last log lines.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(
        self, message: str, *, hint: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class InvalidCommand(SidestreamError):
    """The request is not of the form the protocol asks for."""

    code = "invalid_command"
    status = 400


class UnknownType(InvalidCommand):
    """The command's type is not one of the protocol's."""

    code = "unknown_type"


class Contradiction(InvalidCommand):
    """The request is well-formed, but contradicts itself or names something that does not exist."""

    status = 409


class UnknownServer(InvalidCommand):
    """No server of that name was found, or added in the page."""

    status = 404


class InvalidParameters(InvalidCommand):
    """A generation parameter has the wrong type or lies out of its range."""

    code = "invalid_parameters"
    status = 422


class PromptTooLong(InvalidCommand):
    """The prompt, or the prompt with the answer asked for, exceeds the model's context."""

    code = "prompt_too_long"
    status = 422


class CannotSee(InvalidCommand):
    """The prompt has pictures, and the model takes none."""

    code = "cannot_see"
    status = 422


class InvalidPromptSet(InvalidCommand):
    """A prompt set, its file or one of its checks is wrong; `details` lists where, and why.

    Each of `problems` has `message`, `row` (the line in a file, from 1, or null) and `column`.
    """

    code = "invalid_prompt_set"
    status = 422


class InvalidAttachment(InvalidCommand):
    """The bytes are empty, incomplete, or not what they begin as."""

    code = "invalid_attachment"
    status = 422


class UnsupportedAttachment(InvalidAttachment):
    """The bytes are neither a picture of a known form nor a text file."""

    code = "unsupported_attachment"
    status = 415


class AttachmentTooLarge(InvalidAttachment):
    """A picture has more pixels, or a text file more bytes, than the settings allow."""

    code = "too_large"
    status = 413


class UnknownAttachment(SidestreamError):
    """No attachment of that id belongs to the caller."""

    code = "unknown_attachment"
    status = 404


class AttachmentLimit(SidestreamError):
    """The caller has as many attachments as the settings allow."""

    code = "attachment_limit"
    status = 409


class UnknownModel(SidestreamError):
    """No model of that id is in the catalogue."""

    code = "unknown_model"
    status = 404


class UnknownGeneration(SidestreamError):
    """No generation of that id belongs to this session."""

    code = "unknown_generation"
    status = 404


class UnknownConversation(SidestreamError):
    """No conversation of that id belongs to the caller."""

    code = "unknown_conversation"
    status = 404


class ConversationLimit(SidestreamError):
    """There are as many conversations, or one is as large, as the settings allow."""

    code = "conversation_limit"
    status = 409


class ConversationsOff(SidestreamError):
    """The settings turn the storing of conversations off."""

    code = "conversations_off"
    status = 404


class UnknownPromptSet(SidestreamError):
    """No prompt set of that id, or no such version of it, belongs to the caller."""

    code = "unknown_prompt_set"
    status = 404


class UnknownRun(SidestreamError):
    """No run of that id belongs to the caller or is shared with them."""

    code = "unknown_run"
    status = 404


class RunLimit(SidestreamError):
    """There are as many prompt sets or runs, or they are as large, as the settings allow."""

    code = "run_limit"
    status = 409


class RunsOff(SidestreamError):
    """The settings turn prompt sets and runs off."""

    code = "runs_off"
    status = 404


class StorageFailed(SidestreamError):
    """What is stored cannot be read or written for the time being."""

    code = "storage_failed"
    status = 503


class ModelFailed(SidestreamError):
    """The model server could not be started, or went away."""

    code = "model_failed"
    status = 503


class EngineError(SidestreamError):
    """The model server answered with an error or broke off in the middle."""

    code = "engine_error"
    status = 502


class EngineLost(EngineError):
    """The connection to the model server broke; the server itself may be gone."""


class EngineOverloaded(EngineError):
    """The model server accepts no further request for the time being.

    `retry_after_seconds` is its own wish when to retry, None where it has none.
    """

    code = "engine_overloaded"
    status = 503
    retry_after_seconds: float | None = None


class EngineLimited(EngineOverloaded):
    """The model server limits the rate of our key.

    `is_final` tells that retrying soon is of no use, as when a day's quota is used up.
    """

    code = "engine_limited"
    status = 429

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        is_final: bool = False,
        hint: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        known: dict[str, Any] = {}
        if retry_after_seconds:
            known["retry_after_seconds"] = retry_after_seconds
        if is_final:
            known["is_final"] = True
        super().__init__(message, hint=hint, details={**known, **(details or {})} or None)
        self.retry_after_seconds = retry_after_seconds
        self.is_final = is_final


class EngineTimeout(EngineError):
    """The model server said nothing for longer than allowed."""

    code = "engine_timeout"
    status = 504


class QueueFull(SidestreamError):
    """The model server's queue is full."""

    code = "queue_full"
    status = 503


class RateLimited(SidestreamError):
    """The caller exceeds its rate limit or quota."""

    code = "rate_limited"
    status = 429


class Unauthorized(SidestreamError):
    """The caller shows no key, or one that is not valid."""

    code = "unauthorized"
    status = 401


class Forbidden(SidestreamError):
    """The caller may not do this."""

    code = "forbidden"
    status = 403


class SessionLimit(SidestreamError):
    """A limit of the session, of its owner or of the server is reached."""

    code = "session_limit"
    status = 429


class ServerFull(SessionLimit):
    """The server holds as many sockets or sessions as it may for the time being."""

    status = 503


class ShuttingDown(SidestreamError):
    """The server takes no new work because it is about to stop."""

    code = "shutting_down"
    status = 503
