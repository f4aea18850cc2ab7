"""The corpus of broken inputs: each a valid small data set, what is done to it, and the problem that must be listed.

``where`` is the end of the place that must be named, the other pieces are regular expressions. A damage is listed as
often as ``count`` says: one cause, one line, wherever that is possible.
"""

from tests.trainables.broken_inputs.decathlon import DECATHLON
from tests.trainables.broken_inputs.layouts import ACDC, LAYOUTS
from tests.trainables.broken_inputs.nifti import NIFTI, NIFTI_MASKS
from tests.trainables.broken_inputs.nnunet import NNUNET
from tests.trainables.broken_inputs.pictures import PICTURES
from tests.trainables.broken_inputs.splits import SPLITS
from tests.trainables.broken_inputs.tables import PATIENTS, TABLES
from tests.trainables.broken_inputs.unlabelled import UNLABELLED

BROKEN = (
    *(*NIFTI, *NIFTI_MASKS, *PICTURES, *LAYOUTS, *ACDC, *NNUNET),
    *(*DECATHLON, *TABLES, *PATIENTS, *SPLITS, *UNLABELLED),
)


BY_NAME = {broken.name: broken for broken in BROKEN}
