"""What is no file of tensors is refused in words, and nothing in a file is ever run."""

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from trainables.weights.files import WeightsError, read_tensors

TENSORS = {"conv1.weight": torch.arange(5000.0)}


class Bomb:
    """Creates the file ``exploded`` when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.folder / "exploded",))


class Command:
    """Would run a command of the system."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("true",))


def cut(path: Path, **how: Any) -> None:
    if path.suffix == ".safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, **how)
    path.write_bytes(path.read_bytes()[:5000])


def zipped_bomb(path: Path) -> None:
    """A bomb where torch.load looks for the pickle of a checkpoint."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(path.parent), protocol=2))
        archive.writestr("archive/version", "3")


def endless(path: Path) -> None:
    content: dict[str, Any] = {}
    content["self"] = content
    torch.save(content, path)


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a missing file": ("w.pth", lambda path: None, "does not exist"),
    "a folder": ("w.pth", lambda path: (path / "w.bin").mkdir(parents=True), r"is a folder \(w\.bin\); name a file"),
    "an empty file": ("w.pth", lambda path: path.touch(), "is empty"),
    "a web page": (
        "w.pth",
        lambda path: path.write_text("\n<!DOCTYPE html><p>404"),
        "is a web page; download it again",
    ),
    "a web page as safetensors": ("w.safetensors", lambda path: path.write_text("<html>"), "is a web page"),
    "a pointer": ("w.pth", lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS"),
    "a text": ("w.pth", lambda path: path.write_text("not weights"), r"no file of torch\.save: it begins with b'not"),
    "a cut archive": ("w.pth", cut, "cannot be read: .*is it cut off"),
    "a cut old file": ("w.pth.tar", lambda path: cut(path, _use_new_zipfile_serialization=False), "unexpected EOF"),
    "a cut safetensors file": ("w.safetensors", cut, "cannot be read: .*is it cut off"),
    "a wrong header": ("w.safetensors", lambda path: path.write_bytes(b"\xff" * 99), "header too large"),
    "a pickled bomb": ("w.pth", lambda path: path.write_bytes(pickle.dumps(Bomb(path.parent), 2)), "Python objects"),
    "a zipped bomb": ("w.pth", zipped_bomb, "Python objects beside tensors"),
    "a saved command": ("w.pth", lambda path: torch.save({"x": Command()}, path), r"Python objects .*\(\w+\.system\)"),
    "a whole module": ("w.pth", lambda path: torch.save(torch.nn.Linear(2, 2), path), r"Linear\), .*convert it once"),
    "a pickled number": ("w.pth", lambda path: path.write_bytes(pickle.dumps(5, 2)), "cannot be read"),
    "a pickle of Python's": (
        "w.pth",
        lambda path: path.write_bytes(pickle.dumps(Bomb(path.parent), 4)),
        r"is a pickle \(protocol 4\), which is never executed, .*; save a state dict with torch\.save or safetensors",
    ),
    "no tensors": ("w.pth", lambda path: torch.save({"epoch": 3}, path), "holds no tensors"),
    "itself inside": ("w.pth", endless, "cannot be read"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_file_of_tensors_is_refused_in_words(what: str, tmp_path: Path) -> None:
    name, write, message = BROKEN[what]
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=rf"weights file .*{name} .*{message}"):
        read_tensors(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_of_these_tests_does_explode_where_it_is_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path)))
    assert (tmp_path / "exploded").exists()


def test_a_checkpoint_with_objects_names_them_and_is_read_after_the_conversion_that_the_error_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": TENSORS, "hyper_parameters": argparse.Namespace(lr=1)}, "IN")
    with pytest.raises(WeightsError, match=r"\(argparse\.Namespace\)") as caught:
        read_tensors(Path("IN"))
    code = str(caught.value).partition('python -c "')[2].removesuffix('"')
    exec(code)
    assert torch.equal(read_tensors(Path("OUT.pth"))["conv1.weight"], TENSORS["conv1.weight"])


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pth.tar", "w.ckpt"])
def test_every_kind_of_file_gives_back_its_tensors(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith(".safetensors"):
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=not name.endswith(".tar"))
    assert torch.equal(read_tensors(path)["conv1.weight"], TENSORS["conv1.weight"])


def test_nested_dictionaries_give_dotted_names(tmp_path: Path) -> None:
    torch.save({"a": {"b": {"c.d": torch.ones(1)}}, "epoch": 3, "list": [torch.ones(1)]}, tmp_path / "w.pth")
    assert list(read_tensors(tmp_path / "w.pth")) == ["a.b.c.d"]
