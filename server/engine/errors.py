"""What the engine answers when it cannot answer, in TGI's texts, types and statuses.

    InferError                 the root; never raised itself
    ├── ValidationFailed       validation              422
    ├── TemplateFailed         template_error          422
    ├── ToolsRefused           tool_error              422
    ├── Overloaded             overloaded              429
    ├── GenerationFailed       generation              424
    └── IncompleteGeneration   incomplete_generation   500

On a stream the same `{error, error_type}` object is the last event and the status stays
200. `StartFailed` is another matter: it ends the program before it serves.
"""

from typing import ClassVar


class InferError(Exception):
    """A request that fails; `str(error)` is the text the client reads."""

    error_type: ClassVar[str]
    status: ClassVar[int]
    metric: ClassVar[str]
    """The `err` label under which TGI counts it."""

    def to_wire(self) -> dict[str, str]:
        """Return TGI's error object."""
        return {"error": str(self), "error_type": self.error_type}

    def to_stream(self) -> dict[str, str]:
        """Return the object as it stands in a stream."""
        return self.to_wire()


class ValidationFailed(InferError):
    """The request asks for something impossible or out of range."""

    error_type = "validation"
    status = 422
    metric = "validation"

    def __init__(self, problem: str) -> None:
        super().__init__(f"Input validation error: {problem}")


class TemplateFailed(InferError):
    """The chat template is missing or does not take these messages."""

    error_type = "template_error"
    status = 422
    metric = "template"

    def __init__(self, problem: str) -> None:
        super().__init__(f"Template error: {problem}")


class ToolsRefused(InferError):
    """Tools were passed; the engine's templates take messages only."""

    error_type = "tool_error"
    status = 422
    metric = "template"

    def __init__(self, problem: str) -> None:
        super().__init__(f"Tool error: {problem}")


class Overloaded(InferError):
    """As many requests as allowed are already here."""

    error_type = "overloaded"
    status = 429
    metric = "overloaded"

    def __init__(self) -> None:
        super().__init__("Model is overloaded")


class GenerationFailed(InferError):
    """llama.cpp reported an error."""

    error_type = "generation"
    status = 424
    metric = "generation"

    def __init__(self, problem: str) -> None:
        super().__init__(f"Request failed during generation: Server error: {problem}")


class IncompleteGeneration(InferError):
    """llama.cpp's stream ended without its last event."""

    error_type = "incomplete_generation"
    status = 500
    metric = "incomplete"

    def __init__(self) -> None:
        super().__init__("Incomplete generation")

    def to_stream(self) -> dict[str, str]:
        """Return the object as it stands in a stream, where TGI names it differently."""
        return {"error": f"{self} stream", "error_type": f"{self.error_type}_stream"}


class StartFailed(Exception):
    """The engine cannot start; `variant` is the name TGI's launcher gives that failure."""

    def __init__(self, variant: str, cause: str) -> None:
        super().__init__(cause)
        self.variant = variant


class DownloadFailed(StartFailed):
    """The weights cannot be had."""

    def __init__(self, cause: str) -> None:
        super().__init__("DownloadError", cause)


class ModelLoadFailed(StartFailed):
    """llama.cpp does not take the weights."""

    def __init__(self, cause: str) -> None:
        super().__init__("ShardCannotStart", cause)


class WebserverFailed(StartFailed):
    """The port cannot be had."""

    def __init__(self, cause: str) -> None:
        super().__init__("WebserverFailed", cause)


class ArgumentsRefused(StartFailed):
    """The arguments are well formed but do not fit the model."""

    def __init__(self, cause: str) -> None:
        quoted = cause.replace("\\", "\\\\").replace('"', '\\"')
        super().__init__(f'ArgumentValidation("{quoted}")', cause)
