"""Whether the cells of an arm come from one pretraining recipe, plan after plan.

In: planned rows of one protocol, each with the number of its plan. Out: which of them are of an earlier recipe than the
latest plan of their arm. A recipe is known by the chain of stages, whose ids hold images, settings and seed: where one
pretraining seed of an arm has two chains, the arm's recipe (or its images or first weights) has changed in between.
Runs of other seeds that no later plan asks for again are of the earlier one, too, and no replicates of the later.
"""

import pandas as pd

ARM = ["arm", "pretraining_epochs"]
RUN = [*ARM, "pretraining_seed"]


def of_earlier_recipe(planned: pd.DataFrame) -> pd.Series:
    """Return a mask of rows, which are in the order of their plans."""
    latest = planned.drop_duplicates(RUN, keep="last").set_index(RUN)
    own = latest.loc[pd.MultiIndex.from_frame(planned[RUN])]
    is_replaced = planned["pretraining_chain"].to_numpy() != own["pretraining_chain"].to_numpy()
    changed_after = planned[is_replaced].groupby(ARM)["plan_number"].max()
    bound = changed_after.reindex(pd.MultiIndex.from_frame(planned[ARM])).to_numpy()
    is_asked_again = own["plan_number"].to_numpy() > bound  # false where bound is missing
    has_changed = ~pd.isna(bound)
    return pd.Series(is_replaced | (has_changed & ~is_asked_again), planned.index)
