"""Which code trained something."""

import shutil
import subprocess
from pathlib import Path

import pytest

from trainables.versions import commit_of


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_file_has_the_commit_of_the_checkout_it_is_tracked_in_and_of_no_other(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    for name in ("tracked.py", "changed.py", "installed.py"):
        (tmp_path / name).touch()
    git("init", "--quiet")
    git("add", "tracked.py", "changed.py")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    assert commit_of(tmp_path / "tracked.py") == git("rev-parse", "HEAD")
    (tmp_path / "changed.py").write_text("new")
    assert commit_of(tmp_path / "changed.py") == f"{git('rev-parse', 'HEAD')}-dirty"
    assert commit_of(tmp_path / "installed.py") is None


def test_a_file_outside_every_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.py").touch()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path / "file.py") is None
    monkeypatch.setenv("PATH", "")
    assert commit_of(tmp_path / "another.py") is None
