"""Watching a sweep: written once for each change, waited for, ended with the last cell, and quiet afterwards."""

from pathlib import Path

import pytest

from analysis.loading.selection import NothingFinishedError, ReportError
from analysis.page.html_page import reload_tag
from analysis.page.watch import Written, state, watch
from analysis.report import main
from trainables.results import exclusive


class Sweep:
    """A results folder to which each sleep may add a cell, and a writer that counts."""

    def __init__(self, root, arrivals, planned=2, failed=0):
        self.root, self.arrivals, self.planned, self.failed = root, iter(arrivals), planned, failed
        self.asked, self.said = [], []
        (root / "cells").mkdir()

    def sleep(self, seconds):
        if next(self.arrivals):
            (self.root / "cells" / f"{len(list(self.root.glob('cells/*')))}.parquet").write_text("a cell")

    def write(self, reload_seconds):
        self.asked.append(reload_seconds)
        finished = len(list(self.root.glob("cells/*")))
        if not finished:
            raise NothingFinishedError("no finished cells")
        page = self.root / "index.html"
        page.write_text(f"<head>{reload_tag(reload_seconds)}</head>")
        return Written(page, self.planned - finished, self.failed)

    def run(self):
        watch(self.root, self.write, 7, self.said.append, self.sleep)


def test_an_unchanged_folder_is_not_reported_again_and_the_last_cell_ends_it(tmp_path):
    sweep = Sweep(tmp_path, arrivals=[False, True, False, False, True])
    sweep.run()
    assert sweep.asked == [7, 7, 7]  # nothing yet, the first cell, the second
    assert sweep.said[0] == "Waiting: no finished cells"
    assert sweep.said[1].startswith("1 cell to come")
    assert sweep.said[2].startswith("All planned cells are there")
    assert "refresh" not in (tmp_path / "index.html").read_text()


def test_control_c_leaves_a_page_that_no_longer_reloads(tmp_path):
    def interrupted():
        yield True
        raise KeyboardInterrupt

    sweep = Sweep(tmp_path, arrivals=interrupted())
    sweep.run()
    assert sweep.said[-1] == "Stopped watching."
    assert (tmp_path / "index.html").read_text() == "<head></head>"


def test_it_ends_where_all_that_is_missing_has_failed_and_no_run_is_at_work(tmp_path):
    sweep = Sweep(tmp_path, arrivals=[True], failed=1)
    sweep.run()
    assert sweep.said[-1] == "No run is at work; 1 cell failed or was lost: run the sweep again to try anew."
    assert (tmp_path / "index.html").read_text() == "<head></head>"


def test_it_goes_on_while_a_run_may_try_failed_cells_again(tmp_path):
    sweep = Sweep(tmp_path, arrivals=[True, False, False, True], failed=1)
    with exclusive(tmp_path):
        sweep.run()
    assert sweep.said[-1].startswith("All planned cells are there")


def test_a_file_that_compaction_removes_during_a_look_is_not_counted(tmp_path, monkeypatch):
    (tmp_path / "cells").mkdir()
    for name in ("kept", "removed"):
        (tmp_path / "cells" / f"{name}.parquet").write_text("a cell")
    listed = Path.glob

    def list_then_remove(folder, pattern):
        paths = list(listed(folder, pattern))
        (tmp_path / "cells" / "removed.parquet").unlink(missing_ok=True)
        return paths

    monkeypatch.setattr(Path, "glob", list_then_remove)
    monkeypatch.setattr(Path, "exists", lambda path: True)  # as it was a moment ago
    assert state(tmp_path)["cells"][0] == 1


def test_what_more_cells_do_not_mend_ends_it_with_its_error(tmp_path):
    sweep = Sweep(tmp_path, arrivals=[])

    def write(reload_seconds):
        raise ReportError("no cells of protocol no-such-protocol")

    with pytest.raises(ReportError, match="no-such-protocol"):
        watch(tmp_path, write, 7, sweep.said.append, sweep.sleep)
    assert sweep.said == []


@pytest.mark.parametrize("seconds", ["0", "-5", "soon"])
def test_a_time_between_looks_that_is_none_is_refused(tmp_path, seconds, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--watch", seconds])
    assert f"expected whole seconds, at least 1, found '{seconds}'" in capsys.readouterr().err


def test_a_page_reloads_itself_only_where_it_is_watched(report):
    assert "refresh" not in report.page.read_text()


def test_watching_a_folder_that_is_none_of_ours_ends_with_status_one(tmp_path, capsys):
    assert main([str(tmp_path), "--watch"]) == 1
    assert "no results in" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_finished_sweep_is_reported_once_and_watching_ends(small, capsys):
    root = small(left_out=0, failed=0)
    assert main([str(root), "--watch", "5"]) == 0
    assert capsys.readouterr().out.startswith("All planned cells are there")
    assert "refresh" not in (root / "report" / "index.html").read_text()
