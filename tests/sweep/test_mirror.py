"""Mirrors of a sweep: the command in both directions, and a run that brings in, keeps up and survives its mirror."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sweep import data_efficiency, launch_serial, mirror
from sweep.exit_codes import DONE, ERROR, INTERRUPTED
from sweep.mirror import main, mirrored_to
from tests.ledger_rows import commit
from tests.object_store import BUCKET, LOGIN, nobody_listens, serving
from trainables.encoder_store import encoder_path
from trainables.results import finished_cells, open_results, push, read_table, write_text

Run = Callable[..., int]
TINY = (
    "grid.arms=[random,byol-domain]",
    "report.reference_arm=random",
    "grid.label_counts=[2]",
    "grid.subset_seeds=[0]",
    "stages.byol-domain.milestones=[1]",
    "stages.byol-domain.epochs=1",
)


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    """Run two cells and a stage without Ray into a folder of this name."""

    def call(name: str, *arguments: str) -> int:
        common = ["--preset", "smoke", "--launcher", "serial", "--results", str(tmp_path / name)]
        return data_efficiency.main([*common, *TINY, f"compute.cache={cache}", "compute.device=cpu", *arguments])

    return call


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URI of a folder on a disk."""
    return f"file://{tmp_path / 'mirror'}"


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


def test_a_lost_machine_is_replaced_by_one_that_goes_on_from_the_mirror(
    run: Run, tmp_path: Path, login: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path / "s3") as parameters:
        uri = f"s3://{BUCKET}/smoke?{parameters}"
        assert run("first", "--mirror", uri) == DONE
        tables = {table: read_table(tmp_path / "first", table)[0].to_pylist() for table in ("cells", "curves", "cases")}
        shutil.rmtree(tmp_path / "first")
        capsys.readouterr()
        assert run("second", "--mirror", uri) == DONE
        said = capsys.readouterr().err
        assert "files brought in" in said
        assert "nothing to do: every cell is finished" in said
        found = {table: read_table(tmp_path / "second", table)[0].to_pylist() for table in tables}
        assert found == tables
        assert run("second", "--mirror", uri, "grid.subset_seeds=[0,1]") == DONE  # its encoders came, too
        assert "2 to run, after 0 pretraining stages" in capsys.readouterr().err
        assert main([uri, str(tmp_path / "third")]) == DONE
        assert len(finished_cells(tmp_path / "third")) == 4


def test_what_finishes_is_mirrored_while_the_run_goes_on(
    run: Run, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "SECONDS", 0.02)
    launch, seen = launch_serial.launch, []

    def look_at_the_end(*arguments: Any) -> None:
        launch(*arguments)
        for _ in range(500):
            if len(seen) < 2 and (tmp_path / "mirror/cells").exists():
                seen[:] = finished_cells(tmp_path / "mirror")
            time.sleep(0.01)
            if len(seen) == 2:
                return

    monkeypatch.setattr(launch_serial, "launch", look_at_the_end)
    assert run("results", "--mirror", store) == DONE
    assert set(seen) == finished_cells(tmp_path / "results")


def test_a_mirror_that_cannot_be_reached_ends_the_run_before_it_begins(
    run: Run, login: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("results", "--mirror", f"s3://key:hush@{BUCKET}/smoke?{nobody_listens()}") == ERROR
    said = capsys.readouterr().err
    assert f"error: the mirror s3://{BUCKET}/smoke at 127.0.0.1:1 cannot be read" in said
    assert "hush" not in said
    assert not (tmp_path / "results" / "experiment.yaml").exists()


def test_a_mirror_of_another_experiment_ends_the_run_before_it_begins(
    run: Run, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(open_results(tmp_path / "other"), store, "brain")
    assert run("results", "--mirror", store) == ERROR
    assert "is the mirror of the experiment brain, found smoke here" in capsys.readouterr().err


def test_a_results_folder_given_as_mirror_ends_the_run_before_anything_is_brought_in(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = open_results(tmp_path / "other")
    write_text(other / "experiment.yaml", "name: smoke\n")
    commit(other, "a")
    assert run("results", "--mirror", f"file://{other}") == ERROR
    assert "holds results that are no mirror" in capsys.readouterr().err
    assert not finished_cells(tmp_path / "results")


def test_a_mirror_that_fails_later_is_told_twice_and_changes_neither_results_nor_exit_code(
    run: Run, login: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = launch_serial.launch
    monkeypatch.setattr("trainables.results.place.NUM_ATTEMPTS", 1)  # each further one waits longer
    with ExitStack() as stack:
        parameters = stack.enter_context(serving(tmp_path / "s3"))

        def launch_and_lose_the_store(*arguments: Any) -> None:
            stack.close()
            launch(*arguments)

        monkeypatch.setattr(launch_serial, "launch", launch_and_lose_the_store)
        assert run("results", "--mirror", f"s3://{BUCKET}/smoke?{parameters}") == DONE
    said = capsys.readouterr().err
    assert said.count("warning: the mirror") == 2
    assert said.rstrip().endswith("URI copies the rest")
    assert len(finished_cells(tmp_path / "results")) == 2


def test_an_interrupted_run_copies_what_has_finished(
    run: Run, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = launch_serial.launch

    def launch_and_interrupt(*arguments: Any) -> None:
        launch(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(launch_serial, "launch", launch_and_interrupt)
    assert run("results", "--mirror", store) == INTERRUPTED
    assert finished_cells(tmp_path / "mirror") == finished_cells(tmp_path / "results") != set()


def test_a_dry_run_asks_nothing_of_the_mirror(run: Run, store: str, tmp_path: Path) -> None:
    assert run("results", "--mirror", store, "--dry-run") == DONE
    assert not (tmp_path / "mirror").exists()


def test_a_mirror_that_comes_back_is_made_whole_and_said_to_be(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "SECONDS", 0.01)
    root, said = open_results(tmp_path / "results"), []

    def wait_for(text: str) -> None:
        for _ in range(1000):
            if any(text in line for line in said):
                return
            time.sleep(0.01)
        pytest.fail(f"{text!r} was not said, but {said}")

    with mirrored_to(store, root, "heart", said.append):
        write_text(tmp_path / "mirror" / "cells", "where a folder would be")
        commit(root, "a")
        wait_for("warning: the mirror")
        (tmp_path / "mirror" / "cells").unlink()
        wait_for("up to date again")
    assert len(said) == 2
    assert finished_cells(tmp_path / "mirror") == {"a"}


def test_the_command_copies_in_the_direction_that_the_uri_tells(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = open_results(tmp_path / "results")
    write_text(root / "experiment.yaml", "name: heart\n")
    commit(root, "a")
    write_text(encoder_path(root / "encoders", "stage", 2), "weights")
    assert main([str(root), store]) == DONE
    assert "5 files copied" in capsys.readouterr().out
    assert main([store, str(tmp_path / "back")]) == DONE
    assert encoder_path(tmp_path / "back/encoders", "stage", 2).read_text() == "weights"
    assert finished_cells(tmp_path / "back") == {"a"}
    assert main([str(root), store]) == DONE
    assert "0 files copied" in capsys.readouterr().out.splitlines()[-1]


def test_two_folders_or_two_uris_are_no_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([str(tmp_path), str(tmp_path)], ["s3://a/b", "s3://a/c"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "expected a results folder and a URI" in capsys.readouterr().err


def test_a_folder_without_results_is_an_error_of_the_command(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), store]) == ERROR
    assert "no results in" in capsys.readouterr().err
