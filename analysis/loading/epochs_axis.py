"""Where cells stand on the axis of pretraining epochs, whichever of several plans they were run for.

In: rows with the contract's axes, in the order of their plans. Out: the same with each arm's numbers of epochs as one
axis. An arm whose last stage lists no milestones is recorded at 0 epochs; once it lists some, in any plan, those
cells are of as many epochs as the chain behind their encoder tells.
"""

import pandas as pd


def on_epochs_axis(rows: pd.DataFrame) -> pd.DataFrame:
    """Give cells at 0 epochs the number of their encoder, where their stage has numbers of epochs in other rows; and
    every arm that has such numbers the latest arm that it starts from.

    A stage of other settings or of another seed is left at 0: whether it is the arm's last stage is not known.
    """
    has_number = rows["pretraining_epochs"] > 0
    stages = rows["pretraining_chain"].astype("string").str.extract(r"(?P<stage>[^ ]+)@(?P<epochs>\d+)$")
    keys = pd.MultiIndex.from_arrays([rows["arm"], stages["stage"]])
    is_same = ~has_number & stages["stage"].notna() & keys.isin(keys[has_number])
    epochs = rows["pretraining_epochs"].mask(is_same, stages["epochs"].where(is_same, "0").astype("int32"))
    starts = rows[has_number & (rows["base_arm"] != rows["arm"])]
    latest = dict(zip(starts["arm"], starts["base_arm"], strict=True))
    bases = [latest.get(arm, base) for arm, base in zip(rows["arm"], rows["base_arm"], strict=True)]
    return rows.assign(pretraining_epochs=epochs, base_arm=pd.Series(bases, rows.index, rows["base_arm"].dtype))


def without_number(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells at 0 epochs of arms that have numbers of epochs: pretrained, but of another recipe or seed."""
    swept = cells.loc[cells["pretraining_epochs"] > 0, "arm"].unique()
    return cells[(cells["pretraining_epochs"] == 0) & cells["arm"].isin(swept)]


def numbers_of_epochs(variants: pd.DataFrame) -> dict[str, list[int]]:
    """Return each arm's numbers of pretraining epochs; [0] for one that has none to choose."""
    numbers = {str(arm): sorted(map(int, own)) for arm, own in variants.groupby("arm")["pretraining_epochs"]}
    return {arm: [number for number in own if number] or own for arm, own in numbers.items()}
