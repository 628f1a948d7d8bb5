"""Read a prompt a line: nothing in it is a delimiter or a head."""

from server.evaluation.files.rows import Row, Rows
from server.evaluation.problems import Problems
from server.evaluation.prompt_set import PROMPT_COLUMN


def read_lines(text: str, problems: Problems, *, max_rows: int) -> Rows:
    """Return the lines of a file; blank ones count, and are nothing else."""
    found = Rows()
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        if len(found.rows) >= max_rows:
            problems.add(f"there are more than {max_rows:,} prompts", line)
            break
        found.rows.append(Row(line, {PROMPT_COLUMN: written.removesuffix("\r")}))
    if not found.rows:
        problems.add("the file is empty")
    return found
