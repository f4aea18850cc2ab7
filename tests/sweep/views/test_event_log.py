"""A log of events ends no run."""

from pathlib import Path

from sweep.views.event_log import opened


def test_a_log_on_a_full_disk_is_given_up_with_one_warning(small_disk: Path) -> None:
    said: list[str] = []
    (small_disk / "other").write_bytes(bytes(690_000))
    with opened(str(small_disk / "log"), said.append) as log:
        for number in range(200):
            log.write("cell_started", {"cell_id": "x" * 200, "number": number})
    (warning,) = said
    assert "events are no longer logged: [Errno 28] No space left on device" in warning
