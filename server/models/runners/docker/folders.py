"""Folders of this machine that containers share with us."""

from pathlib import Path

from server.core.errors import ModelFailed


def owner_of_folder(folder: Path) -> int:
    """Make the folder if it is not there; return its owner's id.

    Raises `ModelFailed` where that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder.stat().st_uid
    except OSError as error:
        raise ModelFailed(
            f"the Hugging Face cache cannot be used: {error}",
            hint="correct `hf_cache` in [docker], or its rights",
            details={"cause": "cache_not_writable"},
        ) from None
