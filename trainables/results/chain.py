"""The stages behind an encoder as text, the column ``pretraining_chain``: ID@EPOCH of each, in the order of training.

EPOCH is the epoch of the stage whose encoder the next one, or the fine-tuning, starts from.
"""


def chain_after(chain: str, stage_id: str, epoch: int) -> str:
    """Return a chain with one more stage."""
    return f"{chain} {stage_id}@{epoch}".strip()


def stages_of(chain: str) -> list[tuple[str, int]]:
    """Return each stage's id and epoch; nothing for an encoder that no stage trained."""
    parts = (stage.rpartition("@") for stage in chain.split())
    return [(stage_id, int(epoch)) for stage_id, _, epoch in parts]
