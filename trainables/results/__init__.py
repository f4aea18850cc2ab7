"""The results folder: the contract between training and analysis, and the ledger of what is finished.

In: rows as plain dictionaries. Out: Parquet tables and a few JSON/YAML files. ``contract`` has the schemas and the
folder's layout, ``folder`` opens and holds it, ``ledger`` writes units of work, ``reading`` reads, ``compaction``
merges small files, ``mirror`` copies all of it to an object store and back. Only pyarrow and the standard library are
imported.
"""

from trainables.results.atomic import remove_abandoned, replacing, write_text
from trainables.results.chain import chain_after, stages_of
from trainables.results.compacted import is_compacted
from trainables.results.compaction import Compacted, compact
from trainables.results.contract import (
    AXES,
    MARKER,
    POINT_AXES,
    SCHEMA_VERSION,
    SCHEMAS,
    ResultsError,
    Row,
    num_bytes,
    write_rows,
)
from trainables.results.copying import Copied
from trainables.results.device_shares import DeviceShares, note_device_share, read_device_shares
from trainables.results.folder import (
    check_place,
    check_results,
    check_writable,
    exclusive,
    is_held,
    on_disk,
    open_results,
    try_lock,
)
from trainables.results.ledger import (
    clear_failure,
    clear_failures_of_finished,
    commit_cell,
    failed_units,
    failure_reason,
    record_example_slices,
    record_failure,
    record_plan,
)
from trainables.results.mirror import Mirror, pull, push
from trainables.results.place import MirrorError, is_uri, without_secrets
from trainables.results.reading import finished_cells, is_finished, num_rows, read_table
from trainables.results.server import ask_server, is_there

__all__ = [
    "AXES",
    "MARKER",
    "POINT_AXES",
    "SCHEMAS",
    "SCHEMA_VERSION",
    "Compacted",
    "Copied",
    "DeviceShares",
    "Mirror",
    "MirrorError",
    "ResultsError",
    "Row",
    "ask_server",
    "chain_after",
    "check_place",
    "check_results",
    "check_writable",
    "clear_failure",
    "clear_failures_of_finished",
    "commit_cell",
    "compact",
    "exclusive",
    "failed_units",
    "failure_reason",
    "finished_cells",
    "is_compacted",
    "is_finished",
    "is_held",
    "is_there",
    "is_uri",
    "note_device_share",
    "num_bytes",
    "num_rows",
    "on_disk",
    "open_results",
    "pull",
    "push",
    "read_device_shares",
    "read_table",
    "record_example_slices",
    "record_failure",
    "record_plan",
    "remove_abandoned",
    "replacing",
    "stages_of",
    "try_lock",
    "without_secrets",
    "write_rows",
    "write_text",
]
