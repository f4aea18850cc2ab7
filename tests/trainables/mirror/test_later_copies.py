"""Later copies: what was compacted, is still trained or is there already, and what killed copies left."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.trainables.mirror.mirrored import CELLS, commit, contents, files
from trainables.results import Mirror, compact, finished_cells, is_finished, open_results, pull, push, write_text
from trainables.results.atomic import own_prefix


def test_compaction_between_two_copies_is_repeated_at_the_mirror(root: Path, uri: str, tmp_path: Path) -> None:
    push(root, uri)
    compact(root)
    commit(root, "d")
    assert push(root, uri).num_removed == 3 * 4
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert len(files(tmp_path / "back" / "cells")) == 2
    compact(root)
    assert push(root, uri).num_removed == 4 + 4  # the newer singles, and the older compacted files
    pull(uri, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)
    assert is_finished(tmp_path / "back", "d")


def test_a_reader_that_began_before_files_were_replaced_looks_again(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    generation = tmp_path / "mirror" / ".compaction"
    told = []
    for _ in range(2):
        compact(root)
        push(root, on_disk)
        told.append(generation.read_text())
        commit(root, "d")
    assert len({*told, ""}) == 3


def written(path: Path) -> tuple[int, int]:
    """What a second writing changes; the time of the last access changes where a file is read."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_what_lacks_cells_is_filled_and_what_it_has_stays(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk, "heart")
    other = open_results(tmp_path / "other")
    write_text(other / "experiment.yaml", "name: heart\nseeds: 5\n")
    commit(other, "a")
    commit(other, "z")
    mine = written(other / "curves" / "a.parquet")
    Mirror(other, on_disk, "heart").pull(only_missing=True)
    assert finished_cells(other) == {*CELLS, "z"}
    assert "seeds" in (other / "experiment.yaml").read_text()
    assert written(other / "curves" / "a.parquet") == mine


def weights(width: int) -> bytes:
    """What the library writes."""
    return save({"conv.weight": torch.arange(width * 9.0), "bn.bias": torch.ones(width)}, {"program": "x" * width})


@pytest.mark.parametrize("only_missing", [False, True])
def test_a_whole_encoder_is_never_replaced_by_another(
    root: Path, on_disk: str, tmp_path: Path, only_missing: bool
) -> None:
    encoder, card = (root / f"encoders/stage/epoch-0002.{ending}" for ending in ("safetensors", "json"))
    encoder.write_bytes(weights(4))
    push(root, on_disk)
    encoder.write_bytes(weights(8))
    write_text(card, "of eight channels")
    Mirror(root, on_disk).pull(only_missing)
    assert encoder.read_bytes() == weights(8)
    assert card.read_text() == "of eight channels"
    push(root, on_disk)
    assert (tmp_path / "mirror/encoders/stage/epoch-0002.safetensors").read_bytes() == weights(4)
    assert (tmp_path / "mirror/encoders/stage/epoch-0002.json").read_text() == "epoch-0002.json"


@pytest.mark.parametrize("only_missing", [False, True])
@pytest.mark.parametrize("kept", [0, 5, 60, -1])  # nothing, and ends within the length, the header, the tensors
def test_a_torn_encoder_is_made_good(root: Path, on_disk: str, kept: int, only_missing: bool) -> None:
    encoder = root / "encoders/stage/epoch-0002.safetensors"
    encoder.write_bytes(weights(4))
    push(root, on_disk)
    encoder.write_bytes(weights(4)[:kept])
    Mirror(root, on_disk).pull(only_missing)
    assert encoder.read_bytes() == weights(4)


def test_cells_that_are_compacted_here_are_not_brought_again(root: Path, on_disk: str) -> None:
    push(root, on_disk)
    compact(root)
    before = files(root / "cells")
    Mirror(root, on_disk).pull(only_missing=True)
    assert files(root / "cells") == before


def test_the_state_of_a_stage_in_training_goes_with_the_stage(root: Path, on_disk: str, tmp_path: Path) -> None:
    mirror = Mirror(root, on_disk, with_state=True)
    mirror.claim()
    mirror.push()
    state = tmp_path / "mirror/encoders/stage/resume.pt"
    write_text(root / "encoders/stage/resume.pt", "a later state")
    mirror.push()
    assert state.read_text() == "a later state"
    (root / "encoders/stage/resume.pt").unlink()
    assert mirror.push().num_removed == 1
    assert not state.exists()


def test_a_state_that_took_long_waits_unless_it_is_the_last_call(
    root: Path, on_disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.results.copying.STATE_SHARE", 1e9)
    mirror = Mirror(root, on_disk, with_state=True)
    mirror.push(is_last=False)
    write_text(root / "encoders/stage/resume.pt", "a later state")
    assert mirror.push(is_last=False).num_files == 0
    assert mirror.push(is_last=True).num_files == 1


def test_what_killed_copies_left_on_a_disk_is_removed_by_the_next(root: Path, on_disk: str, tmp_path: Path) -> None:
    push(root, on_disk)
    left = tmp_path / "mirror" / "cells" / f"{own_prefix()}left"
    left.touch()
    push(root, on_disk)
    assert not left.exists()
