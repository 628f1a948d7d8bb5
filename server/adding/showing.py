"""What is shown before something is added: sizes, fit, and which server answers."""

from server.hub.looking import Candidate, HubLook
from server.models.catalogue.added_servers import ServerLook
from server.settings.values import human_size

_MOST_MODELS = 5


def show_hub(look: HubLook, file: str) -> None:
    """Print what a repository has; the one that would be taken has a mark."""
    chosen = look.candidate(file)
    memory = "unknown" if look.memory_total_bytes is None else human_size(look.memory_total_bytes)
    if look.memory_budget_bytes is not None:
        memory += f", of which models may take {human_size(look.memory_budget_bytes)}"
    disk = "unknown" if look.disk_free_bytes is None else human_size(look.disk_free_bytes)
    print(f"{look.repo}, for {look.slots} answers of {look.context_tokens} tokens at once")
    print(f"This machine: {memory} of memory, {disk} free at {look.cache}")
    width = max(len(one.file) for one in look.candidates)
    for number, one in enumerate(look.candidates, 1):
        mark = "*" if one == chosen else " "
        print(f"{mark}{number:3} {one.file:{width}}  {_takes(one)}")
    if look.is_estimate_rough:
        print("Memory is a rough estimate: the model's own figures could not be read.")


def show_file(path: str, size_bytes: int, memory_bytes: int, problem: str) -> None:
    """Print what a file of this machine takes."""
    fits = f"does not fit: {problem}" if problem else "fits"
    print(f"{path}  {human_size(size_bytes)}, about {human_size(memory_bytes)} of memory: {fits}")


def show_server(look: ServerLook) -> None:
    """Print which server answers at an address."""
    more = ["…"] if look.model_count > _MOST_MODELS else []
    models = ", ".join([*look.models[:_MOST_MODELS], *more])
    number = "1 model" if look.model_count == 1 else f"{look.model_count} models"
    print(f"{look.address}: {look.kind or 'a model server'}, {number}: {models}")
    print(f"It is called {look.name} here.")


def _takes(one: Candidate) -> str:
    fetched = (
        "in the cache" if one.download_bytes == 0 else f"{human_size(one.download_bytes)} to fetch"
    )
    parts = f" in {one.files} files" if one.files > 1 else ""
    fits = "fits" if one.fits else f"does not fit: {one.problem}"
    return (
        f"{one.quantization or '?':8} {human_size(one.size_bytes):>8}{parts}, {fetched}, about "
        f"{human_size(one.memory_bytes)} of memory: {fits}"
    )
