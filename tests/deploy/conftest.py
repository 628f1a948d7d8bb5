"""The fixtures of the HTTP tests serve here too."""

from tests.web.conftest import before_fake, start_gateway

__all__ = ["before_fake", "start_gateway"]
