"""Copy what is new from one results folder to another, either way, so that the target is sound at every moment.

In: two places. Out: the target with all that the source has. The protocol, and why no reader of the target is misled:

1. The source is listed while no compaction begins to remove files; where one does, or a listed file vanishes, the
   source is looked at again.
2. Files are copied in the order of ``mirrored_files.rank``, several of one rank at once and no rank before the last one
   is whole. Each appears whole. A kill between any two copies leaves cells that are finished or not there.
3. Files that are written once are copied where they are missing or differ in size. Weights that are whole stay
   whatever their size, since finished cells started from them. The others are copied where their content differs; rows
   of a stage's epochs are not replaced by fewer. A card follows its weights.
4. Singles and older compacted files that the source has no more are removed where a compacted file that both have holds
   their cells: after that file came, and after the target's generation was raised, as ``compaction`` does. A target
   that got compacted files has a generation, without which nobody looks into them.
5. Failures that the source has no more, and resume states that this process has copied, are removed last.

A second call does what a killed one left.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from trainables.results.compacted import COMPACTED_TABLES, GENERATION, NUM_LOOKS, units_of
from trainables.results.contract import ResultsError
from trainables.results.mirrored_files import (
    ROWS,
    is_card,
    is_fixed,
    is_of_epochs,
    is_of_many,
    is_state,
    is_weights,
    last_number,
    listing,
    rank,
    table_of,
    unit_of,
    weights_bytes,
    weights_of,
)
from trainables.results.place import Found, Place

NUM_THREADS = 8  # a store over a network answers late, but many at once
STATE_SHARE = 20  # times what copying a resume state took, before it is copied again

Listing = dict[str, Found]
T = TypeVar("T")


@dataclass
class Copied:
    """What a call has done."""

    num_files: int = 0
    num_bytes: int = 0
    num_removed: int = 0


@dataclass
class Copying:
    """Copies from a source to a target; ``update`` may be called again and again.

    Cells in ``known`` are finished at the target: their files are left alone. With ``only_missing`` all else that the
    target has stays, too, but for longer rows of epochs, files of a cell that is not finished there, and torn weights;
    and nothing is removed.
    """

    source: Place
    target: Place
    with_state: bool = False
    only_missing: bool = False
    known: frozenset[str] = frozenset()
    _same: Listing = field(default_factory=dict)  # of the source, as it was when the target had the same
    _there: Listing | None = None  # what the target holds; None before it was looked at
    _state_due: dict[str, float] = field(default_factory=dict)  # when a resume state may be copied again
    _units: dict[str, frozenset[str]] = field(default_factory=dict)  # of compacted files of the source

    def update(self, is_last: bool = True) -> Copied:
        """Copy what is new. Resume states that were copied lately wait for a later call, unless it is the last."""
        done = Copied()
        for attempt in range(NUM_LOOKS):
            if attempt:
                time.sleep(min(0.01 * attempt, 1.0))
            before = _generation(self.source)
            try:
                found = listing(self.source, self.with_state)
                if _generation(self.source) != before:
                    continue
                there = self._target_listing()
                self._copy_all(found, there, done, is_last)
                if _generation(self.source) == before:
                    self._remove_merged(found, there, done)
                    self._remove_cleared(found, there, done)
                    return done
            except FileNotFoundError:  # merged or cleared since it was listed, at the target perhaps
                self._there = None
        raise ResultsError(f"files in {self.source} kept vanishing while they were copied; look again later")

    def _target_listing(self) -> Listing:
        if self._there is None:
            self._there = listing(self.target, self.with_state)
        return self._there

    def _copy_all(self, found: Listing, there: Listing, done: Copied, is_last: bool) -> None:
        """Copy what is new, each rank after the one before it is whole."""
        now = time.monotonic()
        wanted = [name for name in found if is_last or now >= self._state_due.get(name, now)]
        for place, names in itertools.groupby(sorted(wanted, key=lambda name: (rank(name), name)), key=rank):
            for num_bytes in _in_threads(partial(self._bring, found, there), names):
                if num_bytes is not None:
                    done.num_files += 1
                    done.num_bytes += num_bytes
            if place == ROWS:  # before what marks their cells as finished: an outdated single would stand before them
                self._remove_merged(found, there, done)

    def _bring(self, all_found: Listing, there: Listing, name: str) -> int | None:
        """Copy one file if it is new; return its bytes, None where it is not."""
        found = all_found[name]
        if self._same.get(name) == found:
            return None
        is_new = self._is_new(name, all_found, there)
        if is_new:
            started = time.monotonic()
            self.target.write(name, self.source.chunks(name))
            there[name] = found
            if is_state(name):
                self._state_due[name] = time.monotonic() + STATE_SHARE * (time.monotonic() - started)
        self._same[name] = found
        return found.num_bytes if is_new else None

    def _is_new(self, name: str, found: Listing, there: Listing) -> bool:
        """Return whether the source's file should be at the target, and is not."""
        if self.known and table_of(name) in COMPACTED_TABLES:
            units = self._units_in(name) if is_of_many(name) else {unit_of(name)}
            if units <= self.known:
                return False
        if name not in there:
            return True
        if is_card(name):
            weights = weights_of(name)
            return weights in found and (weights not in there or self._is_torn(weights, found, there))
        if is_fixed(name):
            return self._is_torn(name, found, there)
        if is_of_epochs(name):
            ours, theirs = (_num_rows(place, name) for place in (self.source, self.target))
            if ours != theirs:
                return ours > theirs
        return not self.only_missing and (_has_other_size(name, found, there) or self._has_other_bytes(name))

    def _is_torn(self, name: str, found: Listing, there: Listing) -> bool:
        """Return whether the target's copy of a file that is written once is to be made good.

        Weights may be whole and of another size: another version of the program named or kept other tensors.
        """
        if not _has_other_size(name, found, there):
            return False
        return not is_weights(name) or weights_bytes(next(self.target.chunks(name), b"")) != there[name].num_bytes

    def _has_other_bytes(self, name: str) -> bool:
        pairs = itertools.zip_longest(self.source.chunks(name), self.target.chunks(name))
        return any(ours != theirs for ours, theirs in pairs)

    def _units_in(self, name: str) -> frozenset[str]:
        if name not in self._units:
            self._units[name] = _units(self.source, name)
        return self._units[name]

    def _remove_merged(self, found: Listing, there: Listing, done: Copied) -> None:
        """Raise the target's generation where compacted files came, then remove what they replace."""
        merged = [] if self.only_missing else self._merged(found, there)
        current, needed = _number(_generation(self.target)), last_number(there)
        if merged or current < needed:
            self.target.write(GENERATION, [f"{max(needed, current + 1 if merged else 0)}\n".encode()])
        self._remove(merged, there, done)

    def _remove_cleared(self, found: Listing, there: Listing, done: Copied) -> None:
        """Remove failures of what has succeeded, and states of stages that have ended."""
        gone = [] if self.only_missing else [name for name in there if name not in found]
        cleared = [name for name in gone if table_of(name) == "failures" or (is_state(name) and name in self._same)]
        self._remove(cleared, there, done)

    def _remove(self, names: list[str], there: Listing, done: Copied) -> None:
        for name in names:
            self.target.remove(name)
            del there[name]
            self._same.pop(name, None)
            done.num_removed += 1

    def _merged(self, found: Listing, there: Listing) -> list[str]:
        """Return which of the target's files lie in compacted files that both have."""
        candidates = [name for name in there if name not in found and table_of(name) in COMPACTED_TABLES]
        if not candidates:
            return []
        covered: dict[str, frozenset[str]] = {}
        for name in (each for each in found if is_of_many(each) and each in there):
            covered[table_of(name)] = covered.get(table_of(name), frozenset()) | self._units_in(name)
        units = {
            name: _units(self.target, name) if is_of_many(name) else frozenset({unit_of(name)}) for name in candidates
        }
        return [name for name in candidates if units[name] and units[name] <= covered.get(table_of(name), frozenset())]


def _has_other_size(name: str, found: Listing, there: Listing) -> bool:
    return found[name].num_bytes != there[name].num_bytes


def _generation(place: Place) -> str:
    try:
        return place.read(GENERATION).decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _num_rows(place: Place, name: str) -> int:
    try:
        footer = place.footer(name)
    except FileNotFoundError:
        return 0
    return int(footer.num_rows) if footer else 0


def _units(place: Place, name: str) -> frozenset[str]:
    """Return the cells in a compacted file; none where it is torn or gone."""
    try:
        footer = place.footer(name)
        return units_of(footer.metadata) if footer else frozenset()
    except (FileNotFoundError, ValueError):
        return frozenset()


def _in_threads(function: Callable[[str], T], names: Iterable[str]) -> Iterator[T]:
    """Call a function on every name, several at once; after an error no further one is begun."""
    pool = ThreadPoolExecutor(NUM_THREADS)
    try:
        yield from pool.map(function, names)
    finally:
        pool.shutdown(cancel_futures=True)
