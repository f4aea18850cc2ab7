"""Which files of a results folder a mirror holds, and in which order they are copied.

In: a place that holds a results folder. Out: its files, listed and ordered so that who reads the target meanwhile never
sees a cell as finished without its curves and cases: as a cell's own files are committed (``ledger``), those that mark
it as finished go last. For the same reason ``cells`` is listed first: what it shows was committed with all the rest.
Only what the contract names is copied, so no lock, temporary file, event file, report or scratch of Ray.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from trainables.results.compacted import COMPACTED_TABLES, compacted_number, is_compacted
from trainables.results.contract import MARKER, SCHEMAS
from trainables.results.place import Found, Place

DESIGN, ROWS, FINISHED, BESIDE_WEIGHTS, WEIGHTS, STATE = range(6)  # in this order
ENCODERS = "encoders"
STATE_FILES = ("resume.pt", "epochs-anew.parquet")  # of a stage in training (``trainables.encoder_store``)


def listing(place: Place, with_state: bool) -> dict[str, Found]:
    """Return the files that a mirror holds of a results folder, ``cells`` listed before all others."""
    tables = ["cells", *(table for table in SCHEMAS if table != "cells")]
    found = [place.listed(folder) for folder in (*tables, "subsets", "")]
    found.append(place.listed(ENCODERS, recursive=True))
    names = {name: each for part in found for name, each in part.items() if _is_held(name)}
    return {name: each for name, each in names.items() if with_state or not is_state(name)}


def _is_held(name: str) -> bool:
    path = PurePosixPath(name)
    folder = str(path.parent)
    if path.name.startswith(".") or name == MARKER:
        return False
    if folder in SCHEMAS:
        return path.suffix == ".parquet"
    if folder in (".", "subsets"):
        return path.suffix in (".json", ".yaml")
    is_encoder = path.suffix in (".safetensors", ".json", ".parquet") or path.name in STATE_FILES
    return is_encoder and len(path.parts) == 3 and path.parts[0] == ENCODERS


def rank(name: str) -> int:
    """Return a file's place in the order of copying."""
    if is_state(name):
        return STATE
    if name.startswith(f"{ENCODERS}/"):
        return WEIGHTS if name.endswith(".safetensors") else BESIDE_WEIGHTS
    table = table_of(name)
    return FINISHED if table == "cells" else ROWS if table in COMPACTED_TABLES else DESIGN


def table_of(name: str) -> str:
    """Return the table that a file is of, or the folder that it lies in."""
    return name.rpartition("/")[0]


def unit_of(name: str) -> str:
    """Return the unit whose single file a name is."""
    return PurePosixPath(name).stem


def is_of_many(name: str) -> bool:
    """Return whether a file holds the rows of many cells."""
    return is_compacted(table_of(name), PurePosixPath(name).name)


def is_state(name: str) -> bool:
    """Return whether a file is what a stage in training goes on from."""
    return name.startswith(f"{ENCODERS}/") and PurePosixPath(name).name in STATE_FILES


def is_fixed(name: str) -> bool:
    """Return whether a file is written once: its name then tells its content, and its size whether it is whole."""
    return table_of(name) in COMPACTED_TABLES or is_weights(name)


def is_of_epochs(name: str) -> bool:
    """Return whether a file grows by a row with every epoch of a stage."""
    return table_of(name) == "pretraining" or (name.startswith(f"{ENCODERS}/") and name.endswith("/epochs.parquet"))


def last_number(names: Mapping[str, object]) -> int:
    """Return the largest number of a compaction that wrote one of these files; 0 where none did."""
    return max((compacted_number(PurePosixPath(name).name) for name in names if is_of_many(name)), default=0)


def is_card(name: str) -> bool:
    """Return whether a file describes an encoder's weights: another machine's card would not be theirs."""
    return name.startswith(f"{ENCODERS}/") and name.endswith(".json")


def weights_of(card: str) -> str:
    """Return the name of the weights that a card describes."""
    return str(PurePosixPath(card).with_suffix(".safetensors"))


def is_weights(name: str) -> bool:
    """Return whether a file is an encoder's weights."""
    return name.startswith(f"{ENCODERS}/") and name.endswith(".safetensors")


def weights_bytes(start: bytes) -> int | None:
    """Return how large weights are that begin so; None where that is no whole header.

    Source: github.com/huggingface/safetensors, "Format": the header's length in 8 bytes, the header, the tensors.
    """
    num_header = int.from_bytes(start[:8], "little")
    try:
        header = json.loads(start[8 : 8 + num_header])
        ends = [int(each["data_offsets"][1]) for name, each in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        return None
    return 8 + num_header + max(ends, default=0)
