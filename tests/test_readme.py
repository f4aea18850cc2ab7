"""The documents are true: their commands run, their paths exist, their trees are complete."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from sweep.data_efficiency import main
from sweep.experiment import preset_names

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "analysis", "benchmarks")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PRESETS = [f"sweep/presets/{name}.yaml" for name in preset_names()]


def commands(document: str) -> list[str]:
    """Every shell command in the document's code blocks (or a preset's header), continuation lines joined."""
    text = (ROOT / document).read_text()
    if document.endswith(".yaml"):
        text = "\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    else:
        text = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.DOTALL))
    return [line.split("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines()]


def sweeps(document: str) -> list[str]:
    found = [line for line in commands(document) if line.startswith("python -m sweep.data_efficiency")]
    return [re.sub(r"\s+\(.*| \$settings\b", "", line) for line in found]  # of a variable nothing is known here


@pytest.mark.parametrize("document", [*DOCUMENTS, *PRESETS])
def test_every_sweep_command_resolves_to_an_experiment(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in sweeps(document):
        arguments = shlex.split(line)[3:]
        assert main([*arguments, "--print-config"]) == 0, f"{line}\n{capsys.readouterr().err}"
        yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("document", PRESETS)
def test_every_preset_but_the_demo_shows_its_command(document: str) -> None:
    assert sweeps(document) or "make demo" in (ROOT / document).read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_is_named_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", (ROOT / document).read_text()))
    named |= {line.split()[1] for line in commands(document) if line.startswith("make ")}
    assert named <= targets


def test_the_readme_leads_with_the_two_commands_and_names_every_preset() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in commands("README.md")
    assert "make test" in commands("README.md")
    assert all(f"`{name}`" in readme for name in preset_names())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_linked_file_exists(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text())
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert not missing


def tree_of(document: str) -> dict[str, list[str]]:
    """The folders of an annotated tree and the Python files listed below each."""
    text = (ROOT / document).read_text()
    tree = next(block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "sweep/" in block)
    folders: dict[str, list[str]] = {}
    path: list[str] = []
    for line in tree.splitlines():
        name = re.match(r"( *)(\S+)", line)
        if not name or not (line.startswith(" ") or name.group(2).endswith("/")):
            continue
        depth = len(name.group(1)) // 2
        if name.group(2).endswith("/"):
            path = [*path[:depth], name.group(2).rstrip("/")]
            folders["/".join(path)] = []
        else:
            folders["/".join(path[:depth])] += re.findall(r"\b(\w+\.py)\b(?= {2}|$)", line)
    return folders


def test_the_annotated_tree_lists_every_file_of_the_packages() -> None:
    listed = tree_of("CONTRIBUTING.md")
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    for folder in sorted(str(each.relative_to(ROOT)) for each in folders):
        present = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
        assert set(listed.get(folder, [])) == present, folder


def test_no_registry_host_and_no_path_of_a_machine_is_named() -> None:
    for path in [ROOT / "constraints.txt", ROOT / "pyproject.toml", ROOT / "Makefile"]:
        assert not re.search(r"https?://|file://|/home/|/root/|/opt/", path.read_text()), path
