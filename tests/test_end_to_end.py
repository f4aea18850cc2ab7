"""The whole way: both launchers agree, a killed run goes on to the same tables, and the report is written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report
from sweep.data_efficiency import main
from sweep.exit_codes import DONE

KEYS = {
    "cells": ["cell_id"],
    "curves": ["cell_id", "step"],
    "cases": ["cell_id", "patient", "phase", "class_index"],
    "pretraining": ["stage_id", "epoch"],
}


def options(results: Path, cache: Path, *arguments: str) -> list[str]:
    return ["--preset", "smoke", "--results", str(results), f"compute.cache={cache}", "compute.device=cpu", *arguments]


def command(results: Path, cache: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sweep.data_efficiency", *options(results, cache, *arguments)]


def numbers(results: Path, table: str) -> pd.DataFrame:
    """A table without its wall-clock columns, in a fixed order."""
    content = pd.read_parquet(results / table).sort_values(KEYS[table]).reset_index(drop=True)
    return content.drop(columns=[name for name in content if name.endswith("seconds") or name == "finished_at"])


def assert_same_numbers(first: Path, second: Path) -> None:
    for table in KEYS:
        pd.testing.assert_frame_equal(numbers(first, table), numbers(second, table), check_exact=True)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The smoke preset, run in one process without Ray."""
    results = tmp_path_factory.mktemp("serial") / "results"
    assert main(options(results, cache, "--launcher", "serial")) == DONE
    return results


def test_the_smoke_preset_finishes_every_cell(serial: Path) -> None:
    cells = numbers(serial, "cells")
    assert len(cells) == 36
    assert cells.groupby("arm").size().to_dict() == {
        "random": 4,
        "supervised-natural": 4,
        "byol-natural": 4,
        "byol-domain": 8,
        "supervised-natural+byol-domain": 8,
        "byol-natural+byol-domain": 8,
    }
    assert cells.test_dice.between(0, 1).all()


def test_every_test_case_is_scored_in_every_cell(serial: Path) -> None:
    cases = numbers(serial, "cases")
    assert set(cases.groupby("cell_id").size()) == {2 * 2 * 3}  # test patients, phases, classes
    truth = cases.true_positives + cases.false_negatives
    assert (truth.groupby([cases.patient, cases.phase, cases.class_index]).nunique() == 1).all()


def test_the_report_of_a_run_is_one_page_with_every_arm(serial: Path) -> None:
    report = write_report(serial)
    page = report.page.read_text()
    assert report.answer
    assert all(arm in page for arm in numbers(serial, "cells").arm.unique())


@pytest.mark.ray
def test_ray_gives_the_same_numbers_as_one_process_on_a_part_of_the_grid(
    serial: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = ["grid.arms=[random,byol-domain]", "report.reference_arm=random", "grid.subset_seeds=[0]"]
    assert main(options(tmp_path / "results", cache, *part)) == DONE, capsys.readouterr().err
    mine, everyones = numbers(tmp_path / "results", "cells"), numbers(serial, "cells")
    assert len(mine) == 3 * 2
    expected = everyones[everyones.cell_id.isin(mine.cell_id)].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, expected, check_exact=True)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_gives_the_same_numbers_as_one_process(serial: Path, tmp_path: Path, cache: Path) -> None:
    done = subprocess.run(command(tmp_path / "results", cache), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same_numbers(serial, tmp_path / "results")
    assert not list((tmp_path / "results").glob(".ray-*"))


@pytest.fixture
def started(tmp_path: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A run on Ray that has finished some cells, in a process group of its own."""
    results = tmp_path / "results"
    process = subprocess.Popen(
        command(results, cache),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup would have it ignore
    )
    try:
        deadline = time.monotonic() + 120
        while len(list((results / "cells").glob("*.parquet"))) < 6:
            assert process.poll() is None, "the run ended before it could be stopped"
            assert time.monotonic() < deadline, "no cell was finished within two minutes"
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_driver_loses_nothing_and_the_same_command_ends_with_the_same_tables(
    serial: Path, tmp_path: Path, cache: Path, started: subprocess.Popen[str]
) -> None:
    started.kill()
    started.wait()
    time.sleep(5)  # workers that outlive the driver may still finish a cell
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "cells").glob("*.parquet")}
    assert 6 <= len(finished) < 36
    subprocess.run(command(tmp_path / "results", cache), check=True, capture_output=True)
    assert_same_numbers(serial, tmp_path / "results")
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())  # none ran twice


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_says_so_and_the_same_command_goes_on(
    serial: Path, tmp_path: Path, cache: Path, started: subprocess.Popen[str], number: signal.Signals
) -> None:
    os.kill(started.pid, number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert "the same command goes on from here" in said
    assert not list((tmp_path / "results" / "failures").glob("*"))
    subprocess.run(command(tmp_path / "results", cache, "--launcher", "serial"), check=True, capture_output=True)
    assert_same_numbers(serial, tmp_path / "results")


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_can_be_stopped_while_every_cell_still_waits_for_its_encoder(tmp_path: Path, cache: Path) -> None:
    """One slot: the stage takes it, so that no trial exists that Tune could look at between signals."""
    only = ["grid.arms=[byol-domain]", "report.reference_arm=byol-domain", "compute.slots=1"]
    long = ["stages.byol-domain.epochs=5000", "stages.byol-domain.milestones=[5000]"]
    arguments = command(tmp_path / "results", cache, *only, *long)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("results/encoders/*/resume.pt")):
            assert process.poll() is None, "the run ended before it could be stopped"
            assert time.monotonic() < deadline, "pretraining did not start within two minutes"
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=45)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert not list((tmp_path / "results" / "failures").glob("*"))


@pytest.mark.ray
@pytest.mark.slow
def test_a_stage_runs_on_two_workers_and_learns_as_on_one(serial: Path, tmp_path: Path, cache: Path) -> None:
    only = ["grid.arms=[random,byol-domain]", "report.reference_arm=random", "grid.label_counts=[2]"]
    results = tmp_path / "results"
    done = subprocess.run(
        command(results, cache, *only, "compute.pretraining_workers=2"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    alone = numbers(serial, "pretraining").query("stage == 'byol-domain'").reset_index(drop=True)
    shared = numbers(results, "pretraining")
    assert shared.num_workers.tolist() == [2, 2]
    assert shared.samples.tolist() == alone.samples.tolist()
    assert shared.loss.between(-1, 1).all()
    assert (
        shared.loss.iloc[-1] < shared.loss.iloc[0]
    )  # not the number of one worker, whose stage has another id and draws other views


@pytest.mark.ray
@pytest.mark.slow
def test_a_running_cluster_is_joined_and_left_running(serial: Path, tmp_path: Path, cache: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=2)
        only = ["grid.arms=[random,byol-domain]", "report.reference_arm=random"]
        environment = {**os.environ, "RAY_ADDRESS": cluster.address}
        done = subprocess.run(
            command(tmp_path / "results", cache, *only), capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert len(cluster.list_all_nodes()) == 2
    finally:
        cluster.shutdown()
    mine = numbers(tmp_path / "results", "cells")
    everyones = numbers(serial, "cells").query("arm in ('random', 'byol-domain')").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, everyones, check_exact=True)


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_a_clear_error(tmp_path: Path, cache: Path) -> None:
    only = ["grid.arms=[random]", "report.reference_arm=random", "--address", "127.0.0.1:1"]
    done = subprocess.run(command(tmp_path / "results", cache, *only), capture_output=True, text=True)
    assert done.returncode == 1
    assert "no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
