"""Example slices: chosen by a rule from the data alone, once for all cells, as small as masks compress."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from trainables.data.decoded_volumes import DecodedVolumes
from trainables.data.slice_store import SliceStore
from trainables.examples import choose_slices, prediction_rows, slice_rows
from trainables.results import read_table, record_example_slices

# patient, group, phase, foreground pixels of each slice
TEST = (
    ("p1", "healthy", "ED", (0, 3, 9)),
    ("p1", "healthy", "ES", (2, 9, 1)),
    ("p2", "healthy", "ED", (4, 1)),
    ("p3", "ill", "ED", (0, 0)),
    ("p4", "ill", "ED", (1, 5, 2)),
)
NUM_TRAIN = 2


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    """A store of two training slices and the test volumes above, its images ramps of two channels."""
    areas = [7] * NUM_TRAIN + [area for *_, each in TEST for area in each]
    masks = np.zeros((len(areas), 16), np.uint8)
    for row, area in enumerate(areas):
        masks[row, :area] = 1 + row % 3
    images = np.stack([np.linspace(0, row + 1, 16) for row in range(len(areas))]).reshape(-1, 1, 4, 4)
    volumes, bounds, start = [], {}, NUM_TRAIN
    for patient, group, phase, each in TEST:
        place = {"name": patient, "patient": patient, "group": group, "phase": phase, "key": patient + phase}
        volumes.append(place | {"num_slices": len(each), "spacing_mm": None})
        bounds[patient + phase] = start, start + len(each)
        start += len(each)
    (tmp_path / "index.json").write_text(json.dumps({"volumes": {"test": volumes}}))
    (tmp_path / "rows.json").write_text(json.dumps(bounds))
    (tmp_path / "data.json").write_text(json.dumps({"data_id": "data"}))
    np.save(tmp_path / "masks.npy", masks.reshape(-1, 4, 4))
    np.save(tmp_path / "images.npy", np.concatenate([images, 3 * images], axis=1).astype(np.float16))
    return SliceStore(tmp_path, DecodedVolumes(tmp_path))


def test_groups_come_in_turn_and_each_patient_shows_the_first_slice_with_most_foreground(store: SliceStore) -> None:
    places = [(each.volume.patient, each.volume.phase, each.slice_index) for each in choose_slices(store, 9)]
    assert places == [("p1", "ED", 2), ("p2", "ED", 0), ("p4", "ED", 1)]  # p3, of the other group, has no foreground


def test_fewer_slices_are_the_first_of_more(store: SliceStore) -> None:
    assert choose_slices(store, 2) == choose_slices(store, 9)[:2]
    assert choose_slices(store, 0) == ()


def test_a_row_holds_the_image_from_black_to_white_and_the_true_mask(store: SliceStore) -> None:
    first = slice_rows(store, choose_slices(store, 1))[0]
    image, truth = (np.frombuffer(zlib.decompress(first[name]), np.uint8) for name in ("image", "truth"))
    assert truth.tolist() == [1 + (NUM_TRAIN + 2) % 3] * 9 + [0] * 7
    assert (image[0], image[-1]) == (0, 255)
    assert (np.diff(image.astype(int)) > 0).all()  # a ramp stays one
    assert {name: first[name] for name in ("data_id", "group", "slice_index")} == {
        "data_id": "data",
        "group": "healthy",
        "slice_index": 2,
    }


def test_predictions_stand_beside_their_slices(store: SliceStore) -> None:
    chosen = choose_slices(store, 2)
    masks = [np.full((4, 4), value, np.uint8) for value in (1, 2)]
    rows = prediction_rows("cell", chosen, masks)
    assert [(row["patient"], zlib.decompress(row["prediction"])) for row in rows] == [
        ("p1", b"\1" * 16),
        ("p2", b"\2" * 16),
    ]


def test_slices_are_stored_once_and_more_of_them_replace_fewer(store: SliceStore, tmp_path: Path) -> None:
    root, place = tmp_path / "results", tmp_path / "results" / "example_slices" / "data.parquet"
    record_example_slices(root, slice_rows(store, choose_slices(store, 2)))
    written = place.stat().st_ino
    for wanted in (1, 2, 0):
        record_example_slices(root, slice_rows(store, choose_slices(store, wanted)))
    assert place.stat().st_ino == written
    record_example_slices(root, slice_rows(store, choose_slices(store, 3)))
    assert [row["patient"] for row in read_table(root, "example_slices")[0].to_pylist()] == ["p1", "p2", "p4"]
