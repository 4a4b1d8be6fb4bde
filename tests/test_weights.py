"""Where weights are found, in which order, and that what is downloaded is checked and kept slim."""

import hashlib
import http.server
import logging
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from vgg_files import as_torchvision, picture, save, slim, tensors

from gatys_lab import files
from gatys_lab.networks import _formats, _weights, vgg19


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights found but those that a test makes, and no way out to the internet."""
    monkeypatch.delenv("GATYS_LAB_WEIGHTS", raising=False)
    monkeypatch.setenv("GATYS_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(_weights, "URLS", {n: f"file:///nowhere/{Path(u).name}" for n, u in _weights.URLS.items()})


def place(path: Path, last: str = "conv1_1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return slim(tensors(last=last), path)


def test_the_order_in_which_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _weights.find("vgg19") is None
    hub = tmp_path / "hub" / "checkpoints"
    caffe = place(hub / "vgg19-d01eb7cb.pth")
    place(hub / "vgg19_bn-c79401a0.pth")
    assert _weights.find("vgg19") == caffe
    published = place(hub / "vgg19-dcbb9e9d.pth")
    assert _weights.find("vgg19") == published
    own = place(tmp_path / "cache" / "vgg19-dcbb9e9d.safetensors")
    assert _weights.find("vgg19") == own
    named = place(tmp_path / "mine.bin")
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(named))
    assert list(_weights.candidates("vgg19")) == [named, own, published, caffe]
    assert vgg19.build().source == "mine.bin (caffe)"
    assert vgg19.build(own).source == "vgg19-dcbb9e9d.safetensors (caffe)"
    assert _weights.find("vgg16") == named


def test_of_a_folder_the_deepest_file_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    shallow = place(folder / "vgg19_shallow.safetensors")
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(folder))
    assert _weights.find("vgg19") == shallow
    assert _weights.find("vgg16") is None
    deep = place(folder / "vgg_conv.pth", last="conv2_1")
    (folder / "vgg19_broken.pth").write_bytes(b"broken")
    (folder / "vgg19.txt").write_text("notes")
    assert list(_weights.candidates("vgg19")) == [deep, shallow]
    for file in (deep, shallow):
        file.write_bytes(b"broken too")
    with pytest.raises(ValueError, match=r"no file in \$GATYS_LAB_WEIGHTS .* fits vgg19: cannot read"):
        _weights.find("vgg19")


def test_a_variable_that_leads_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATYS_LAB_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"\$GATYS_LAB_WEIGHTS is '.*nowhere', which does not exist"):
        vgg19.build()


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": None, "HOME": "/home/me"}, "/home/me/.cache/gatys_lab"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/gatys_lab"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/gatys_lab"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/gatys_lab"),
        ("linux", {"GATYS_LAB_CACHE": "/own"}, "/own"),
    ],
)
def test_the_cache_lies_where_the_system_keeps_caches(
    platform: str, variables: dict[str, str | None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name, value in {"GATYS_LAB_CACHE": None, **variables}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert files.cache_folder().as_posix() == expected


# Downloading


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder served on this machine, its address, and what was asked for."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}", asked
        httpd.shutdown()
        thread.join()


def publish(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch, digits: str | None = None) -> str:
    """Put a torchvision file on the server under its hash, or under wrong `digits`; returns its name."""
    file = save(as_torchvision(tensors()), folder / "file.pth", legacy=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    name = f"vgg19-{digits or digest}.pth"
    file.rename(folder / name)
    monkeypatch.setitem(_weights.URLS, "vgg19", f"{address}/{name}")
    monkeypatch.setitem(_formats.KNOWN_FILES, digest, "torchvision")
    return name


def test_a_download_is_checked_kept_slim_and_not_repeated(
    server: tuple[Path, str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, address, asked = server
    name = publish(folder, address, monkeypatch)
    caplog.set_level(logging.WARNING)
    first, second = vgg19.build(), vgg19.build(pooling="avg")
    assert asked == [f"/{name}"]
    assert [record.message[:20] for record in caplog.records] == ["downloading vgg19 fr"]
    assert "100" in capfd.readouterr().err  # the progress bar
    kept = [file.relative_to(tmp_path / "cache") for file in (tmp_path / "cache").rglob("*")]
    assert kept == [Path(name).with_suffix(".safetensors")]
    assert first.source == second.source == f"{name} (torchvision)"
    expected = vgg19.build(folder / name)
    torch.testing.assert_close(
        first(picture(), ("relu1_1", "pool1", "relu2_1")),
        expected(picture(), ("relu1_1", "pool1", "relu2_1")),
        rtol=0,
        atol=0,
    )


def test_a_damaged_download_is_an_error_and_nothing_is_kept(
    server: tuple[Path, str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, _ = server
    publish(folder, address, monkeypatch, digits="01234567")
    with pytest.raises(OSError, match=r"was damaged .* nothing was kept: try again") as caught:
        vgg19.build()
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").rglob("*")) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid", "file:///nowhere"])
def test_without_internet_one_line_says_what_to_do(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_weights.URLS, "vgg19", f"{address}/vgg19-dcbb9e9d.pth")
    with pytest.raises(ConnectionError) as caught:
        vgg19.build()
    message = str(caught.value)
    wanted = (f"cannot download {address}", str(tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"))
    for part in (*wanted, "--weights", "--network lite needs no download"):
        assert part in message
    assert "\n" not in message
    assert list((tmp_path / "cache").rglob("*")) == []
    place(Path(re.search(r"file at (\S+),", message)[1]))  # type: ignore[index]
    assert vgg19.build().source == "vgg19-dcbb9e9d.pth (caffe)"  # the remedy works
