"""What people write to name a model, and that nothing of it leads elsewhere."""

import pytest

from server.core.errors import InvalidCommand
from server.hub.naming import FilePath, HubModel, Named, ServerAddress, read_name

FILE = "sub/model-Q4_K_M.gguf"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf:org/repo", HubModel("org/repo")),
        (" org/repo ", HubModel("org/repo")),
        ("hf:org/repo@v1", HubModel("org/repo", revision="v1")),
        (f"hf:org/repo/{FILE}", HubModel("org/repo", FILE)),
        (f"hf:org/repo/{FILE}@refs/pr/1", HubModel("org/repo", FILE, "refs/pr/1")),
        ("org/repo:Q5_K_M", HubModel("org/repo", quantization="Q5_K_M")),
        ("hf.co/org/repo:Q8_0", HubModel("org/repo", quantization="Q8_0")),
        ("https://huggingface.co/org/repo", HubModel("org/repo")),
        ("https://huggingface.co/org/repo/tree/main", HubModel("org/repo")),
        ("https://huggingface.co/org/repo/tree/v2/sub", HubModel("org/repo", revision="v2")),
        (f"https://hf.co/org/repo/blob/main/{FILE}", HubModel("org/repo", FILE)),
        (
            f"https://hf.co/org/repo/resolve/v2/{FILE}?download=true",
            HubModel("org/repo", FILE, "v2"),
        ),
        ("https://hf.co/org/repo?show_file_info=a.gguf", HubModel("org/repo", "a.gguf")),
        ("http://hub.lan:8080/org/repo", HubModel("org/repo")),
        ("http://gpu-box:8000/v1", ServerAddress("http://gpu-box:8000/v1")),
        ("https://huggingface.co.evil.example/a/b", None),
        ("gpu-box:8000", ServerAddress("gpu-box:8000")),
        ("localhost", ServerAddress("localhost")),
        ("[::1]:8000", ServerAddress("[::1]:8000")),
        ("/etc/passwd", FilePath("/etc/passwd")),
        ("../secret.gguf", FilePath("../secret.gguf")),
        ("~/x.gguf", FilePath("~/x.gguf")),
        ("file:/etc/passwd", FilePath("file:/etc/passwd")),
    ],
)
def test_the_kind_of_a_name_is_recognised(text: str, meant: Named | None) -> None:
    named = read_name(text, endpoint="http://hub.lan:8080")
    assert named == (meant or ServerAddress(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model",
        "env:HOME",
        "hf:",
        "hf:org",
        "hf:../repo",
        "hf:org/..",
        "hf:org/repo/../../x.gguf",
        "hf:org/repo/../x.gguf",
        "hf:org/repo/a//b.gguf",
        "hf:org/repo/model.safetensors",
        "hf:org/repo/a b.gguf",
        "hf:org/repo@",
        "hf:org/repo@../../main",
        "hf:org/repo\n[server]",
        "org--x/repo",
        "https://huggingface.co/../..",
        "https://huggingface.co/org/repo/blob/main/..%2Fx.gguf",
        "ftp://huggingface.co/org/repo",
        "http://[broken/x",
        "x" * 600,
    ],
)
def test_invalid_names_are_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidCommand) as caught:
        read_name(text)
    assert "hf:OWNER/REPO" in (caught.value.hint or "")
