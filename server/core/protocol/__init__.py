"""The wire protocol, version 1: the commands of clients, their results, the events of the server.

The structs are the definition: they validate and encode, and the documentation is checked against
them.
"""

from server.core.protocol.commands import *  # noqa: F403
from server.core.protocol.events import *  # noqa: F403
from server.core.protocol.results import *  # noqa: F403
from server.core.protocol.shared import *  # noqa: F403
