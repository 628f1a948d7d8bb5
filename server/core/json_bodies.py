"""JSON of a request, read as a type of ours."""

from typing import Any, TypeVar

import msgspec

from server.core.errors import InvalidCommand
from server.core.json_halves import half_problem

T = TypeVar("T")


def decode_body(body: bytes, shape: type[T]) -> T:
    """Return a body as `shape`; raises `InvalidCommand` where it is not JSON of that shape."""
    try:
        return _decode(body, shape)
    except msgspec.ValidationError as error:
        raise InvalidCommand(str(error)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        why = half_problem(body) or f"the body is not JSON: {error}"
        raise InvalidCommand(why) from None
    except RecursionError:
        raise InvalidCommand("the body is nested too deeply") from None


def whole_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields, and lists in them, with 5.0 turned into 5.

    Many JSON writers know only one kind of number.
    """
    return {
        name: [_whole(one) for one in value] if isinstance(value, list) else _whole(value)
        for name, value in fields.items()
    }


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError:
        fields = msgspec.json.decode(body)
        if not isinstance(fields, dict):
            raise
        return msgspec.convert(whole_numbers(fields), shape)
