"""A request to one model: settings, command and target combined and checked."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from server.chat.prompt_attachments import PromptAttachments
from server.core.content import pictures_in
from server.core.errors import CannotSee, InvalidCommand, InvalidParameters
from server.core.parameters import checked, is_off, is_sampled, merge
from server.core.protocol import Message, Notice
from server.dialects.base import Ask, EngineInfo, Prompt
from server.dialects.tgi.parameters import TGI_LACKS, normalise
from server.models.catalogue.catalog import ModelSpec

# JavaScript holds and writes whole numbers below it exactly.
MAX_SEED: Final = 2**53
# Servers keep what they have computed in blocks of 16 to 512 tokens, from the beginning on.
_PREFIX_CHARS: Final = 1024
# The gateway handles these itself, whatever the model server takes.
_OURS: Final = frozenset({"details", "return_full_text", "best_of", "do_sample", "max_new_tokens"})
# A text is gone on with as it is: no template tells the model of them.
_NEED_MESSAGES: Final = ("reasoning", "tools", "tool_choice")


@dataclass(frozen=True)
class GenerationRequest:
    """A conversation, or a prompt without a template, and the parameters by the protocol's names.

    For a model of TGI's dialect the values are already TGI's. `chosen` names the parameters that
    were set by the settings or the client, `asked` those that the client set.
    """

    model: ModelSpec
    content: Sequence[Message] | str
    parameters: Mapping[str, Any]
    asked: frozenset[str]
    chosen: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)
    is_lenient: bool = False
    """Whether parameters that the model server refuses are left out instead of an error."""
    is_fresh: bool = False
    """Whether a cached answer must not be used."""
    notices: tuple[Notice, ...] = ()
    """What was left out of it already."""
    trims: bool = False
    """Whether the oldest turns may be left out where the context cannot hold them all."""
    optional: frozenset[str] = frozenset()
    """Parameters that go without a word where the model server does not take them."""
    attachments: PromptAttachments = field(default_factory=PromptAttachments)
    """The pictures and files that the messages name."""

    @property
    def has_chosen_length(self) -> bool:
        """Whether the client set the length."""
        return "max_new_tokens" in self.asked

    def with_seed(self) -> "GenerationRequest":
        """Return the request with a random seed if it is sampled and has none.

        With the seed it can be repeated. A seed goes with one answer only.
        """
        is_random = is_sampled(self.parameters, unset_is_greedy=self.model.unset_is_greedy)
        if not is_random or "seed" in self.parameters or self.parameters.get("best_of", 1) > 1:
            return self
        seed = random.randrange(MAX_SEED)
        return replace(self, parameters={**self.parameters, "seed": seed})

    def check_taken(self, info: EngineInfo) -> None:
        """Raise for what the model's server is known not to take.

        Raises `InvalidParameters` for parameters, `CannotSee` for pictures.
        """
        if self.is_lenient:
            return
        if self.model.can_see(info) is False and pictures_in(self.content):
            raise CannotSee(
                f"{self.model.name} takes no pictures",
                hint='leave them out, ask another model, or ask with `"lenient": true`; where the '
                "model does see, say `vision = yes` in its section",
                details={"model": self.model.id},
            )
        if info.takes is None:
            return
        for name in sorted(self.chosen - self.optional - info.takes - _OURS):
            if name in self.parameters and not is_off(name, self.parameters[name]):
                raise InvalidParameters(
                    f"`{name}` is not taken by {info.engine}, which serves {self.model.name}",
                    hint='leave it out, or ask with `"lenient": true`',
                    details={
                        "parameter": name,
                        "server": info.engine,
                        "model": self.model.id,
                    },
                )

    async def as_asked(
        self, *, with_pictures: bool
    ) -> tuple[Sequence[Message] | str, list[Notice]]:
        """Return the prompt with the text of its files, and what there is to say about it.

        Raises `UnknownAttachment` or `StorageFailed`.
        """
        if isinstance(self.content, str):
            return self.content, []
        return await self.attachments.as_asked(self.content, with_pictures=with_pictures)

    def length(self, info: EngineInfo) -> int | None:
        """Return the greatest length of the answer; None where it is left to the server.

        A server that bills answers gets a chat's length only where it was chosen.
        """
        is_chosen = "max_new_tokens" in self.chosen
        if info.is_billed and not is_chosen and not isinstance(self.content, str):
            return None
        length: int = self.parameters["max_new_tokens"]
        return length

    def ask(self, prompt: Prompt, *, length: int | None, wants_tokens: bool) -> Ask:
        """Return what is sent to the model's server: the prompt, and how long the answer may be."""
        parameters = {**self.parameters, "max_new_tokens": length}
        if length is None:
            del parameters["max_new_tokens"]
        return Ask(
            prompt,
            parameters,
            self.model.served_as,
            self.chosen,
            self.extra,
            self.optional,
            wants_tokens=wants_tokens,
            is_lenient=self.is_lenient,
            fetch_picture=self.attachments.fetch_picture,
        )


def prefix_of(request: GenerationRequest) -> str:
    """Return a key of how a prompt begins, which all turns of a conversation have in common."""
    content = request.content
    if isinstance(content, str):
        beginning: Any = content[:_PREFIX_CHARS]
    else:
        is_user = [message.role == "user" for message in content]
        beginning = list(content)[: is_user.index(True) + 1 if True in is_user else None]
    return hashlib.blake2b(msgspec.json.encode(beginning), digest_size=16).hexdigest()


def build_request(
    spec: ModelSpec,
    content: Sequence[Message] | str,
    *,
    parameters: Sequence[Mapping[str, Any]],
    system: str | None,
    extra: Mapping[str, Any],
    is_lenient: bool = False,
    trims: bool = False,
    optional: frozenset[str] = frozenset(),
    attachments: PromptAttachments | None = None,
    default_length: int | None = None,
) -> GenerationRequest:
    """Combine the model's settings, the command and the target, later ones winning.

    There is always a length: without one, some servers end after 16 tokens and others never. It is
    at most `default_length` where neither the settings nor the client chose one.
    Raises `InvalidParameters`, or `InvalidCommand` for an empty prompt, and for one without turns
    where the oldest may be left out.
    """
    if not content:
        raise InvalidCommand("there is nothing to answer: the prompt is empty")
    if trims and isinstance(content, str):
        raise InvalidCommand("`trim` leaves out turns of a conversation: a text has none")
    # All layers in one merge: null in a later one removes a key of the settings.
    merged = merge(spec.parameters, *parameters)
    asked = merge(*parameters)
    if merged.get("tools") == []:
        del merged["tools"]
    if "tools" not in merged and merged.get("tool_choice") in ("none", "auto"):
        del merged["tool_choice"]
    needed = {name: value for name, value in asked.items() if name not in optional}
    notices = _leave_out(merged, needed, _unfit(spec, content), is_lenient=is_lenient)
    length = merged.setdefault("max_new_tokens", spec.default_length)
    if default_length is not None and "max_new_tokens" not in spec.chosen.union(asked):
        merged["max_new_tokens"] = min(length, default_length)
    chosen = normalise(merged) if spec.dialect == "tgi" else checked(merged)
    for name in extra:
        if name not in spec.extra_allowed:
            raise InvalidParameters(
                f"{name[:80]!r} may not be passed on to {spec.name}",
                hint="`extra_allowed` in the model's section lists what may",
                details={"parameter": name[:80], "model": spec.id},
            )
    if not isinstance(content, str):
        _check_answered_calls(content)
        content = _with_system(content, spec.system if system is None else system)
    return GenerationRequest(
        spec,
        content,
        chosen,
        asked=frozenset(asked),
        chosen=spec.chosen.union(asked),
        extra=extra,
        is_lenient=is_lenient,
        notices=notices,
        trims=trims,
        optional=optional,
        attachments=attachments or PromptAttachments(),
    )


def _unfit(spec: ModelSpec, content: Sequence[Message] | str) -> dict[str, str]:
    """Return the parameters that cannot be sent, whatever their values, each with the reason."""
    unfit: dict[str, str] = {}
    if spec.dialect == "tgi":
        unfit |= {name: f"`{name}` is not taken by TGI" for name in TGI_LACKS}
    if isinstance(content, str):
        words = "`{}` needs `messages`: a text is gone on with as it is"
        unfit |= {name: words.format(name) for name in _NEED_MESSAGES}
    return unfit


def _leave_out(
    merged: dict[str, Any],
    asked: Mapping[str, Any],
    unfit: Mapping[str, str],
    *,
    is_lenient: bool,
) -> tuple[Notice, ...]:
    """Take what cannot be sent out of the parameters, in silence where only settings have it.

    Raises `InvalidParameters` where it was asked for and the question is not lenient.
    """
    notices = []
    for name in sorted(merged.keys() & unfit.keys()):
        if is_off(name, merged[name]):
            continue
        if name in asked and not is_lenient:
            raise InvalidParameters(unfit[name], details={"parameter": name})
        if name in asked:
            words = f"{unfit[name]}; it was left out"
            notices.append(Notice("parameter_left_out", words, {"parameter": name}))
        del merged[name]
    return tuple(notices)


def _check_answered_calls(messages: Sequence[Message]) -> None:
    """Raise `InvalidCommand` for a tool's message without a call before it."""
    called: set[str] = set()
    for place, message in enumerate(messages):
        called.update(call.id for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id not in called:
            raise InvalidCommand(
                f"`messages[{place}]` answers a call that no message before it makes: "
                f"{message.tool_call_id[:80]!r}"
            )


def _with_system(messages: Sequence[Message], system: str) -> Sequence[Message]:
    """Put the system prompt first, unless the conversation has its own."""
    if not system or messages[0].role == "system":
        return messages
    return [Message("system", system), *messages]
