"""Make a prompt set of rows, and note all that is wrong with them."""

from dataclasses import dataclass
from typing import Any, Final

from server.core.errors import InvalidPromptSet
from server.evaluation.checks.declarations import Check
from server.evaluation.checks.reading import bind, checks_in, command_problems, variables_in
from server.evaluation.files.rows import RESERVED, Row, Rows
from server.evaluation.files.values import Values
from server.evaluation.problems import Problems
from server.evaluation.prompt_set import DEFAULT_TEMPLATE, PROMPT_COLUMN, Prompt, PromptSet
from server.evaluation.templates import variables_of

MAX_VARIABLES: Final = 1_000
"""How many variables the prompts of a set may have, each its own or common to all."""
MAX_SET_NAME_CHARS: Final = 300
"""How long the name of a set may be."""
_SHOWN_COLUMNS: Final = 10


@dataclass(frozen=True)
class PromptLimits:
    """Bound a prompt set: a file's bytes, its prompts, and the characters of each text.

    `commands` are the names that checks by a command may have; None takes any.
    """

    max_bytes: int = 16 * 1024 * 1024
    max_prompts: int = 20_000
    max_prompt_chars: int = 1_000_000
    commands: frozenset[str] | None = None


@dataclass(frozen=True)
class Common:
    """Hold what is common to all prompts, where a caller says it; None takes what the file says."""

    name: str | None = None
    template: str | None = None
    system: str | None = None
    checks: Any = None
    prompt_column: str | None = None


def build(rows: Rows, common: Common, limits: PromptLimits, problems: Problems) -> PromptSet:
    """Return the prompt set that rows are; raises `TooManyProblems`."""
    outline = _outline(rows, common, limits, problems)
    columns = _columns(rows)
    if len(columns) > MAX_VARIABLES:
        problems.add(f"there are {len(columns):,} variables, more than {MAX_VARIABLES:,}")
        problems.check()
    asked = variables_of(outline.template)
    is_renderable = True
    for name in asked:
        if name not in columns and any("messages" not in row.cells for row in rows.rows):
            is_renderable = False
            problems.add(_no_column(name, columns), None, name)
    bad = {name for name in columns if not Values(problems, _line(rows, name), 0).name(name)}
    prompts = []
    for row in rows.rows:
        values = Values(problems, row.line, limits.max_prompt_chars)
        prompt = _prompt(row, bad, limits, values)
        if is_renderable:
            _check_asked(row, prompt, asked, rows.columns is not None, values)
        if is_renderable and values.is_right:
            _check_length(prompt, outline, limits, values)
        for check in (*outline.checks, *prompt.checks):
            _check_binding(check, prompt, values)
        prompts.append(prompt)
    if not prompts and not problems.found:
        problems.add("the file has no prompts")
    return PromptSet(outline.name, tuple(prompts), outline.template, outline.system, outline.checks)


def _outline(rows: Rows, common: Common, limits: PromptLimits, problems: Problems) -> PromptSet:
    """Return the prompt set without its prompts."""

    def chosen(key: str, given: str | None, default: str) -> str:
        value = given if given is not None else rows.common.get(key, default)
        line = None if given is not None else rows.common_line
        if not isinstance(value, str):
            problems.add("the value is no text", line, key)
            return default
        return Values(problems, line, limits.max_prompt_chars).text(value, key)

    name = chosen("name", common.name, "")
    if len(name) > MAX_SET_NAME_CHARS:
        problems.add(f"the name has more than {MAX_SET_NAME_CHARS} characters", None, "name")
    declared, line = common.checks, None
    if declared is None:
        declared, line = rows.common.get("checks", []), rows.common_line
    checks, wrong = checks_in(declared, "checks")
    for place, message in wrong:
        problems.add(message, line, place)
    if not wrong:
        Values(problems, line, 0).has_characters_only(declared, "checks")
    if limits.commands is not None and not wrong:
        for place, message in command_problems(checks, "checks", limits.commands):
            problems.add(message, line, place)
    template = chosen("template", common.template, "") or _default_template(rows, common)
    return PromptSet(name, (), template, chosen("system", common.system, ""), checks)


def _default_template(rows: Rows, common: Common) -> str:
    if common.prompt_column:
        return f"{{{{{common.prompt_column}}}}}"
    columns = _columns(rows)
    if PROMPT_COLUMN not in columns and len(columns) == 1:
        return f"{{{{{columns[0]}}}}}"
    return DEFAULT_TEMPLATE


def _columns(rows: Rows) -> list[str]:
    """Return the names of all variables."""
    names = dict.fromkeys(rows.columns or ())
    if rows.columns is None:
        for row in rows.rows:
            names.update(dict.fromkeys(row.cells))
    return [name for name in names if name not in RESERVED]


def _line(rows: Rows, name: str) -> int | None:
    """Return the first line that has a cell of this name."""
    return next((row.line for row in rows.rows if name in row.cells), None)


def _no_column(name: str, columns: list[str]) -> str:
    shown = ", ".join(f"`{column}`" for column in columns[:_SHOWN_COLUMNS]) or "none"
    more = ", …" if len(columns) > _SHOWN_COLUMNS else ""
    return (
        f"the template takes `{{{{{name}}}}}`, and the file has no such column: it has"
        f" {shown}{more}. Name the column of the prompts, or give a template"
    )


def _prompt(row: Row, bad: set[str], limits: PromptLimits, values: Values) -> Prompt:
    cells = row.cells
    variables = {}
    for name, value in cells.items():
        if name in RESERVED or name in bad:
            continue
        if text := values.text(value, name):
            variables[name] = text
    checks: tuple[Check, ...] = ()
    if cells.get("checks") is not None:
        checks, wrong = checks_in(cells["checks"], "checks")
        for place, message in wrong:
            values.add(message, place)
        if not wrong:
            values.has_characters_only(cells["checks"], "checks")
        if limits.commands is not None and not wrong:
            for place, message in command_problems(checks, "checks", limits.commands):
                values.add(message, place)
    return Prompt(
        variables=variables,
        messages=values.messages(cells.get("messages")),
        expected=values.text(cells.get("expected"), "expected"),
        system=values.text(cells.get("system"), "system"),
        checks=checks,
        tags=values.tags(cells.get("tags")),
    )


def _check_asked(
    row: Row, prompt: Prompt, asked: list[str], is_table: bool, values: Values
) -> None:
    """Check that a line is a dialogue, or has what the template takes."""
    if row.cells.get("messages") is not None:
        both = [name for name in asked if name in prompt.variables]
        if both:
            values.add("the line has a dialogue (`messages`) and a prompt", both[0])
        if prompt.system and any(message.role == "system" for message in prompt.messages):
            values.add("the dialogue has a system prompt, and the line another one", "system")
    elif not is_table:
        for name in asked:
            if name not in row.cells:
                values.add("the template takes this variable, which the line does not have", name)


def _check_length(prompt: Prompt, outline: PromptSet, limits: PromptLimits, values: Values) -> None:
    messages = outline.messages_of(prompt)
    size = sum(len(str(message.content)) for message in messages)
    if size > limits.max_prompt_chars:
        values.add(f"the prompt has {size:,} characters, more than {limits.max_prompt_chars:,}")
    if not str(messages[-1].content).strip():
        names = variables_of(outline.template)
        values.add("the prompt is empty", names[0] if names else None)


def _check_binding(check: Check, prompt: Prompt, values: Values) -> None:
    names = variables_in(check)
    if not names:
        return
    known = dict(prompt.variables)
    if prompt.expected:
        known["expected"] = prompt.expected
    missing = [name for name in names if name not in known]
    for name in missing:
        values.add("a check takes this variable, which the line does not have", name)
    if not missing:
        try:
            bind(check, known)
        except InvalidPromptSet as error:
            values.add(f"with what the line has, a check is wrong: {error.message}", names[0])
