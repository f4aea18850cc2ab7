"""What a data set holds, and what one split of it uses: known from names and headers, before a pixel is decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.config import DataConfig
from trainables.data import readers
from trainables.data.dataset import DataError, Dataset, Volume
from trainables.data.pool import admitted, find_unlabelled
from trainables.data.splits import PARTS, Part, split_patients


@dataclass(frozen=True)
class Listing:
    """The volumes of a data set under one split. ``admitted`` may be pretrained on, by all that names tell."""

    dataset: Dataset
    parts: Mapping[str, Part]
    labelled: Sequence[Volume]  # in order of their parts
    admitted: Sequence[Volume]
    unlabelled: Sequence[Volume]  # whosever they are
    warnings: list[str]

    @property
    def wanted(self) -> list[Volume]:
        """The volumes that the split uses, the labelled ones first."""
        return [*self.labelled, *self.admitted]

    @property
    def everything(self) -> list[Volume]:
        """The volumes that any split could use, the labelled ones first."""
        return [*self.dataset.volumes, *self.unlabelled]

    def of_part(self, part: Part) -> list[Volume]:
        """Return the labelled volumes of a part."""
        return [volume for volume in self.labelled if self.parts[volume.patient] == part]


def list_volumes(config: DataConfig) -> Listing:
    """List and split a located data set. Raises DataError with everything that can be refused without decoding."""
    dataset = readers.read_dataset(config)
    if dataset.problems:
        raise DataError(*dataset.problems)
    parts = split_patients(dataset.volumes, config, dataset.excluded_cases)
    elsewhere, problems = find_unlabelled(dataset, config)
    if problems:
        raise DataError(*problems)
    chosen, warnings = admitted(dataset, elsewhere, parts, config)
    labelled = [volume for part in PARTS for volume in dataset.volumes if parts.get(volume.patient) == part]
    return Listing(dataset, parts, labelled, chosen, (*dataset.unlabelled, *elsewhere), warnings)
