"""The stages behind an encoder, written into a column and read from it."""

import pytest

from trainables.results import chain_after, stages_of


@pytest.mark.parametrize(
    ("stages", "text"),
    [([], ""), ([("a1b2", 3)], "a1b2@3"), ([("a1b2", 3), ("c3d4", 12)], "a1b2@3 c3d4@12")],
    ids=["none", "one", "two"],
)
def test_a_chain_is_read_as_it_was_written(stages: list[tuple[str, int]], text: str) -> None:
    chain = ""
    for stage_id, epoch in stages:
        chain = chain_after(chain, stage_id, epoch)
    assert (chain, stages_of(chain)) == (text, stages)
