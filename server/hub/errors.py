"""What keeps a model of the hub from being added.

SidestreamError
├── HubError               hub_error
│   ├── HubUnreachable     hub_unreachable
│   ├── UnknownRepository  unknown_repository
│   ├── GatedRepository    gated_repository
│   └── NoGGUF             no_gguf
└── DoesNotFit             does_not_fit
"""

from server.core.errors import SidestreamError


class HubError(SidestreamError):
    """The model hub answers with an error, or with what cannot be read."""

    code = "hub_error"
    status = 502


class HubUnreachable(HubError):
    """The model hub does not answer, or is not to be asked."""

    code = "hub_unreachable"
    status = 503


class UnknownRepository(HubError):
    """The hub has no such repository, revision or file, or shows it only with a token."""

    code = "unknown_repository"
    status = 404


class GatedRepository(HubError):
    """The hub gives the files only to those who have accepted the model's terms."""

    code = "gated_repository"
    status = 403


class NoGGUF(HubError):
    """The repository has no GGUF file, which is what the embedded engine runs."""

    code = "no_gguf"
    status = 422


class DoesNotFit(SidestreamError):
    """The model needs more memory, or more room on the disk, than there is."""

    code = "does_not_fit"
    status = 409
