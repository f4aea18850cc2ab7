"""What killed drivers left of Ray's own state: in the results folder, and on a cluster that outlives them.

Ray gives back what a job holds when its driver ends, and not what the job's other processes ask for in the moment in
which they end, too. Such a placement group keeps its cores and GPUs until the cluster ends, and the next run waits for
them. A driver that joins a cluster therefore notes there which job it is, and the next one on the same results gives
back what that job left: only where Ray says that it is dead, whoever else uses the cluster.

In: the scratch folders of a results folder that this run holds. Out: they are gone, and so are the placement groups.
"""

import json
import shutil
from pathlib import Path

from trainables.results import write_text

SCRATCH = ".ray-"
MARK = "driver.json"  # in a driver's scratch folder; outlives the rest of it until the job's groups are gone


def note_driver(scratch: Path) -> None:
    """Write down which job of which cluster this driver is: job ids begin anew in each, node ids never come again."""
    import ray

    context = ray.get_runtime_context()
    write_text(scratch / MARK, json.dumps({"job_id": context.get_job_id(), "node_id": context.get_node_id()}))


def remove_abandoned_scratch(results: Path) -> None:
    """Remove what killed drivers left of Ray's own state but their marks; only for who holds the results folder."""
    for abandoned in results.glob(f"{SCRATCH}*"):
        mark = abandoned / MARK
        if not mark.is_file():
            shutil.rmtree(abandoned, ignore_errors=True)
            continue
        for path in abandoned.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path != mark:
                path.unlink(missing_ok=True)


def give_back(results: Path, own_scratch: Path) -> None:
    """Remove the placement groups of dead drivers of these results, with what runs in them, and then their marks.

    A mark of a job that Ray does not say is dead stays for another look; one of another cluster goes.
    """
    marks = [mark for mark in results.glob(f"{SCRATCH}*/{MARK}") if mark.parent != own_scratch]
    if not marks:
        return
    import ray

    nodes = {node["NodeID"] for node in ray.nodes()}  # dead ones, too
    is_dead = {job["JobID"]: job["IsDead"] for job in ray._private.state.jobs()}  # the public one asks the dashboard
    for mark in marks:
        try:
            driver = json.loads(mark.read_text())
        except FileNotFoundError:  # another stage that waits has looked, too
            continue
        if driver["node_id"] in nodes:
            if not is_dead.get(driver["job_id"]):
                continue
            _remove_groups(driver["job_id"])
        shutil.rmtree(mark.parent, ignore_errors=True)


def _remove_groups(job_id: str) -> None:
    from ray import PlacementGroupID
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    for group_id, group in placement_group_table().items():
        if group_id.endswith(job_id) and group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group_id))))
