"""A copy of a results folder behind a URI, that outlives its machine and can be read by others.

In: a results folder and a URI. Out: the same cells, curves, cases, encoders and design files at the other one. The
ledger itself stays on a disk or NFS: a mirror has no locks. What is copied, and in which order, so that every cell at
the target is whole at every moment: ``mirrored_files`` and ``copying``.

A mirror is a results folder in its layout, so that of ``file:///`` can be read as one. Its marker has the experiment's
name too, which that of a results folder lacks. So a prefix of another experiment, of another schema version or with
foreign files is refused, and a results folder is only read: two sweeps of one preset have one name, so that an equal
name does not tell that a folder was meant as a mirror.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.results.atomic import remove_abandoned
from trainables.results.compaction import LOCK as COMPACTION_LOCK
from trainables.results.contract import MARKER, SCHEMA_VERSION
from trainables.results.copying import Copied, Copying
from trainables.results.folder import check_results, exclusive, held, is_held, open_results
from trainables.results.ledger import clear_failures_of_finished
from trainables.results.place import MirrorError, Place, local_place, open_place
from trainables.results.reading import finished_cells

NAME = re.compile(r"""^name:[ ]*(["']?)([A-Za-z0-9._-]+)\1[ ]*$""", re.MULTILINE)  # as a sweep writes it in YAML


class Mirror:
    """The mirror of one results folder. Raises MirrorError where it cannot be reached or is of something else.

    ``experiment`` is its name; without it, the one that the folder's experiment.yaml tells. With ``with_state`` a stage
    in training is mirrored, too, and goes on from its latest state elsewhere.
    """

    def __init__(self, root: Path, uri: str, experiment: str | None = None, with_state: bool = False) -> None:
        self._root, self._with_state = Path(root).absolute(), with_state
        self._experiment = experiment or _named_in(local_place(self._root))
        self.place = open_place(uri)
        self._check_apart()
        self._is_mirror = False  # a results folder is none
        self._name_there: str | None = None
        self.is_there = self._check()
        self._pushing = Copying(local_place(self._root), self.place, with_state)

    def _check_apart(self) -> None:
        """Refuse a folder that shares files with the results folder: each copy would find more to copy."""
        if not self.place.is_local:
            return
        there, here = self.place.folder.resolve(), self._root.resolve()
        if there == here:
            raise MirrorError(f"{self.place} is the results folder itself; expected another place for its mirror")
        if here in there.parents or there in here.parents:
            where = "in" if here in there.parents else "around"
            raise MirrorError(
                f"{self.place} lies {where} the results folder {self._root}; expected a place beside it for its mirror"
            )

    def _check(self) -> bool:
        """Return whether a mirror is there, and refuse what is something else."""
        try:
            text = self.place.read(MARKER)
        except FileNotFoundError:
            if self.place.is_empty():
                return False
            raise MirrorError(
                f"{self.place} holds files and no {MARKER}; expected nothing, or the mirror of an earlier run: choose "
                "another prefix"
            ) from None
        try:
            marker = json.loads(text)
            version, name = marker["schema_version"], marker.get("experiment") or _named_in(self.place)
            self._is_mirror, self._name_there = "experiment" in marker, name
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MirrorError(
                f"{MARKER} in {self.place} is damaged: expected a JSON object with schema_version ({error!r})"
            ) from error
        if version != SCHEMA_VERSION:
            raise MirrorError(
                f"{self.place} has results schema version {version}, this program reads and writes version "
                f"{SCHEMA_VERSION}: use another prefix, or the program version that wrote it"
            )
        if name and self._experiment and name != self._experiment:
            what = "is the mirror of" if self._is_mirror else "holds the results of"
            raise MirrorError(
                f"{self.place} {what} the experiment {name}, found {self._experiment} here; expected one "
                "prefix an experiment: choose another"
            )
        return True

    def claim(self) -> None:
        """Mark the place as this experiment's mirror, which tells whether it can be written at all.

        Raises MirrorError where it is a results folder, whose files copies would replace.
        """
        if self.is_there and not self._is_mirror:
            raise MirrorError(
                f"{self.place} holds results that are no mirror ({MARKER} there names no experiment); expected "
                "nothing, or the mirror of an earlier run: choose another prefix"
            )
        if self._name_there and not self._experiment:
            raise MirrorError(
                f"{self.place} is the mirror of the experiment {self._name_there}, and no experiment.yaml in "
                f"{self._root} tells that these results are of it: bring the mirror back first, or choose another "
                "prefix"
            )
        if self.place.is_local and is_held(self.place.folder):
            raise MirrorError(f"a run holds {self.place} as its results folder; expected a place that only mirrors use")
        if self.place.is_local:
            remove_abandoned(self.place.folder)  # of copies that were killed
        self.place.make_bucket()
        marker = json.dumps({"schema_version": SCHEMA_VERSION, "experiment": self._experiment}) + "\n"
        self.place.write(MARKER, [marker.encode()])
        self.is_there = self._is_mirror = True

    def push(self, is_last: bool = True) -> Copied:
        """Copy what is new in the results folder; call ``claim`` before the first time."""
        return self._pushing.update(is_last)

    def pull(self, only_missing: bool = False) -> Copied:
        """Bring what the mirror has into the results folder, which the caller holds.

        Files that the mirror has otherwise replace the folder's, unless ``only_missing``; encoders that are whole
        stay in either case.
        """
        if not self.is_there:
            raise MirrorError(f"no mirror in {self.place}: expected {MARKER} there; python -m sweep.mirror makes one")
        known = frozenset(finished_cells(self._root)) if only_missing else frozenset()
        copying = Copying(self.place, local_place(self._root), self._with_state, only_missing, known)
        with held(self._root / COMPACTION_LOCK, f"a compaction is at work in {self._root}; wait for it", 1.0):
            done = copying.update()
        clear_failures_of_finished(self._root, finished_cells(self._root))
        return done


def _named_in(place: Place) -> str | None:
    """Return the name of the experiment in a results folder; None where there is none yet."""
    try:
        found = NAME.search(place.read("experiment.yaml").decode(errors="replace"))
    except FileNotFoundError:
        return None
    return found[2] if found else None


def push(root: Path, uri: str, experiment: str | None = None, with_state: bool = False) -> Copied:
    """Copy what is new in a results folder, in use or not, to its mirror."""
    mirror = Mirror(check_results(root), uri, experiment, with_state)
    mirror.claim()
    return mirror.push()


def pull(uri: str, root: Path, experiment: str | None = None, with_state: bool = False) -> Copied:
    """Bring a mirror into a results folder that no run holds, new or not."""
    mirror = Mirror(root, uri, experiment, with_state)
    if not mirror.is_there:
        return mirror.pull()  # says so before a folder is made
    with _held_folder(root):
        return mirror.pull()


@contextmanager
def _held_folder(root: Path) -> Iterator[None]:
    folder = open_results(root)
    with exclusive(folder):
        yield
