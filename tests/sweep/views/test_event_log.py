"""A log of events ends no run."""

from pathlib import Path

import pytest

from sweep.views.event_log import LogError, check_log, opened


def test_a_log_on_a_full_disk_is_given_up_with_one_warning(small_disk: Path) -> None:
    said: list[str] = []
    (small_disk / "other").write_bytes(bytes(690_000))
    with opened(str(small_disk / "log"), said.append) as log:
        for number in range(200):
            log.write("cell_started", {"cell_id": "x" * 200, "number": number})
    (warning,) = said
    assert "events are no longer logged: [Errno 28] No space left on device" in warning


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("nowhere/log", "no folder {root}/nowhere"),
        ("folder", "a folder"),
        ("file/log", "{root}/file, which is no folder"),
    ],
)
def test_a_log_that_cannot_be_written_is_refused_with_its_option(tmp_path: Path, path: str, found: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(LogError) as told:
        check_log(str(tmp_path / path), tmp_path / "results")
    assert str(told.value) == (
        f"--log-json {tmp_path / path}: expected a file that events can be added to, "
        f"found {found.format(root=tmp_path)}; name another"
    )


@pytest.mark.parametrize("path", ["log", "file", "results/log", "/dev/null", "-"])
def test_a_log_that_can_be_written_is_not_begun_by_the_check(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    check_log(path if path == "-" else str(tmp_path / path), tmp_path / "results")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
