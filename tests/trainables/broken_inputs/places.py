"""Places and words that many broken inputs share."""

import numpy as np

IMAGE = "patient002/patient002_frame04.nii.gz"
MASK = "patient002/patient002_frame04_gt.nii.gz"
JSON = "dataset.json"
INFO = "patient003/Info.cfg"
CASE, CASE_MASK = "imagesTr/patient002_ED_0000.nii.gz", "labelsTr/patient002_ED.nii.gz"
SECOND = "imagesTr/patient002_ED_0001.nii.gz"
PICTURE, PICTURE_MASK = "images/patient002_ED_9.png", "masks/patient002_ED_9.png"
WHOLE, AGAIN = "a whole NIfTI file", "copy it again"
SHIFTED = np.array([[1, 0, 0, 3.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
FLIPPED = np.diag([-1.0, 1, 1, 1])
