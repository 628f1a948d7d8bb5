"""Every error that reaches a user, in one tree.

    SidestreamError            internal
    ├── InvalidCommand         invalid_command
    │   ├── UnknownType        unknown_type
    │   ├── Contradiction      invalid_command
    │   ├── UnknownServer      invalid_command
    │   ├── InvalidParameters  invalid_parameters
    │   └── PromptTooLong      prompt_too_long
    ├── UnknownModel           unknown_model
    ├── UnknownGeneration      unknown_generation
    ├── UnknownConversation    unknown_conversation
    ├── ConversationLimit      conversation_limit
    ├── ConversationsOff       conversations_off
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

A class carries its wire code and its HTTP status, so that whoever raises says
what went wrong once, and the two transports only write it down. Foreign errors
(aiohttp's, aiodocker's, the model server's own) are turned into this tree at one
place per library, where the library is called.
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

    def to_wire(self) -> dict[str, Any]:
        """Return `{code, message}` with `hint` and `details` where there are any."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint is not None:
            wire["hint"] = self.hint
        if self.details is not None:
            wire["details"] = self.details
        return wire


class InvalidCommand(SidestreamError):
    """The request is not of the form the protocol asks for."""

    code = "invalid_command"
    status = 400


class UnknownType(InvalidCommand):
    """The command's type is not one of the protocol's."""

    code = "unknown_type"


class Contradiction(InvalidCommand):
    """What is said is well formed, but contradicts itself, or names what is not there."""

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
    """The settings say that no conversations are kept."""

    code = "conversations_off"
    status = 404


class StorageFailed(SidestreamError):
    """What is kept cannot be read or written just now; later it may be possible."""

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
    """The model server has no place for another request just now.

    `retry_after_seconds` is when it wants to be asked again, None where it does not say.
    """

    code = "engine_overloaded"
    status = 503
    retry_after_seconds: float | None = None


class EngineLimited(EngineOverloaded):
    """The model server takes no more requests from our key for a while.

    `is_final` tells that asking again soon is of no use, as when a day's share is used up.
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
        known = {"retry_after_seconds": retry_after_seconds} if retry_after_seconds else {}
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
    """The model's queue has no place left."""

    code = "queue_full"
    status = 503


class RateLimited(SidestreamError):
    """The caller asks for more than its share."""

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
    """The session or the server holds as much as it is allowed to."""

    code = "session_limit"
    status = 429


class ServerFull(SessionLimit):
    """The server holds as many sockets or sessions as it may; later there may be room."""

    status = 503


class ShuttingDown(SidestreamError):
    """The server takes no new work because it is about to stop."""

    code = "shutting_down"
    status = 503
