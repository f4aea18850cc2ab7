"""Broken NIfTI files: their bytes, headers, voxels and masks."""

import gzip

import numpy as np

from tests.trainables.broken_inputs.damages import (
    DATATYPE,
    MAGIC,
    PIXDIM,
    SCL_INTER,
    SCL_SLOPE,
    SROW_X,
    VOX_OFFSET,
    Broken,
    as_broken_link,
    as_folder,
    both,
    change_bytes,
    coloured,
    cut,
    dims,
    flip,
    inflated,
    move,
    put,
    set_header,
    set_voxels,
    write_text,
)
from tests.trainables.broken_inputs.places import AGAIN, CASE, CASE_MASK, FLIPPED, IMAGE, MASK, SECOND, SHIFTED, WHOLE

NIFTI = (
    Broken("truncated gzip", "acdc", cut(IMAGE, -20), IMAGE, "cannot be read .*ends early", WHOLE, AGAIN),
    Broken("flipped at a third", "acdc", flip(IMAGE, 0.33), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped at two thirds", "acdc", flip(IMAGE, 0.67), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped checksum", "acdc", flip(IMAGE, -7), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken("flipped length", "acdc", flip(MASK, -2), MASK, "cannot be read", WHOLE, AGAIN),
    Broken(
        *("gzip bomb", "acdc", change_bytes(IMAGE, inflated(lambda content: content + bytes(2**24))), IMAGE),
        *("longer than its header says", WHOLE, AGAIN),
    ),
    Broken(
        *("garbage after the stream", "acdc", change_bytes(IMAGE, lambda content: content + b"0123456789"), IMAGE),
        *("cannot be read", WHOLE, AGAIN),
    ),
    Broken(
        "wrong magic", "acdc", set_header(IMAGE, (MAGIC, "4s", b"spam")), IMAGE, "magic string 'spam'", WHOLE, AGAIN
    ),
    Broken("empty file", "acdc", cut(IMAGE, 0), IMAGE, "does not begin like NIfTI", WHOLE, AGAIN),
    Broken("text", "acdc", write_text(IMAGE, "dear colleague\n"), IMAGE, "does not begin like NIfTI", WHOLE, AGAIN),
    Broken(
        *("compressed text", "acdc", change_bytes(IMAGE, lambda _: gzip.compress(b"dear colleague")), IMAGE),
        *("does not begin like NIfTI", WHOLE, AGAIN),
    ),
    Broken(
        *("header cut short", "acdc", change_bytes(IMAGE, inflated(lambda content: content[:200])), IMAGE),
        *("wrong size", WHOLE, AGAIN),
    ),
    Broken(
        *("voxels cut short", "acdc", change_bytes(IMAGE, inflated(lambda content: content[:-1])), IMAGE),
        *("1071 of 1072 bytes", WHOLE, AGAIN),  # 352 of the header, 3 * 12 * 10 * 2 of the voxels
    ),
    Broken(
        *("longer than the header says", "acdc"),
        both(change_bytes(IMAGE, lambda content: gzip.decompress(content) + bytes(2000)), move(IMAGE, IMAGE[:-3])),
        *(IMAGE[:-3], "3072 bytes are there, and its header accounts for 1072", WHOLE, AGAIN),
    ),
    Broken(
        *("absurd shape", "acdc", set_header(IMAGE, *dims(30000, 30000, 30000)), IMAGE),
        *(r"shape \(30000, 30000, 30000\)", "at most 2147483648 voxels", "copy the file again"),
    ),
    Broken(
        *("17 GB claimed", "acdc", set_header(IMAGE, *dims(1290, 1290, 1290), (DATATYPE, "<h", 64)), IMAGE),
        *("1072 of 17173512352 bytes", WHOLE, AGAIN),
    ),
    Broken(
        *("five dimensions", "acdc", set_header(IMAGE, *dims(10, 12, 1, 1, 3)), IMAGE),
        *(r"shape \(10, 12, 1, 1, 3\)", "2 to 4 dimensions", "copy the file again"),
    ),
    Broken("data type", "acdc", set_header(IMAGE, (DATATYPE, "<h", 9999)), IMAGE, "data type 9999", WHOLE, AGAIN),
    Broken("offset", "acdc", set_header(IMAGE, (VOX_OFFSET, "<f", np.inf)), IMAGE, "cannot be read", WHOLE, AGAIN),
    Broken(
        *("intercept that is no number", "acdc"),
        set_header(IMAGE, (SCL_SLOPE, "<f", 1.0), (SCL_INTER, "<f", np.nan)),
        *(IMAGE, "cannot be read .*intercept nan", WHOLE, AGAIN),
    ),
    Broken(
        *("zero pixdim", "acdc", set_header(IMAGE, (PIXDIM + 4, "<f", 0.0)), IMAGE),
        *("pixel sizes 1.25 and 0 ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("negative pixdim", "acdc", set_header(IMAGE, (PIXDIM + 8, "<f", -1.25)), IMAGE),
        *("pixel sizes -1.25 and 1.5 ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("pixdim that is no number", "acdc", set_header(IMAGE, (PIXDIM + 4, "<f", np.nan)), IMAGE),
        *("pixel sizes 1.25 and nan ", "millimetres above 0", "correct the header"),
    ),
    Broken(
        *("pixdim of another axis", "acdc", set_header(IMAGE, (PIXDIM + 12, "<f", 0.0)), IMAGE),
        *("pixel sizes 0 and 1.25 ", "millimetres above 0", "correct the header", {"slice_axis": 0}),
    ),
    Broken(
        *("a single slice cut across", "acdc", set_voxels(IMAGE, lambda array: array[..., 0]), IMAGE),
        *(
            "slices of 1 x 12 pixels",
            "an image in each slice",
            "set data.slice_axis .*2 for a 2D file",
            {"slice_axis": 0},
        ),
    ),
    Broken(
        *("NaN", "acdc", set_voxels(IMAGE, put(np.nan)), IMAGE),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),  # 1 of 360
    ),
    Broken(
        *("NaN in the second channel", "nnunet-channels", set_voxels(SECOND, put(np.nan)), SECOND),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),
    ),
    Broken(
        *("second channel too large", "nnunet-channels", set_voxels(SECOND, put(1e300, np.float64)), SECOND),
        *(r"values from 0?.* to 1e\+300", r"at most 1e\+30", "copy it again"),
    ),
    Broken(
        *("both channels damaged", "nnunet-channels"),
        both(set_voxels(SECOND, put(np.nan)), set_voxels(CASE, put(np.inf))),
        *(SECOND, "0.28% NaN or infinite", "finite intensities", "exclude the case", {}, 2),
    ),
    Broken(
        *("truncated second channel", "nnunet-channels", cut(SECOND, -20), SECOND),
        *("cannot be read .*ends early", WHOLE, AGAIN),
    ),
    Broken(
        *("second channel of another shape", "nnunet-channels", set_voxels(SECOND, lambda array: array[..., :2])),
        *(SECOND, r"a channel of shape \(10, 12, 2\)", r"\(10, 12, 3\), the shape of", "image's grid"),
    ),
    Broken(
        *("one bright voxel in the second channel", "nnunet-channels"),
        set_voxels(SECOND, lambda array: put(9)(array * 0)),
        *(SECOND, "99.5th percentile 0 in channel 1", "an image with contrast", "volume-zscore"),
    ),
    Broken(
        *("constant second channel", "nnunet-channels", set_voxels(SECOND, lambda array: array * 0 + 5), SECOND),
        *(r"the value 5 everywhere \(channel 1\)", "an image with contrast", "exclude the case"),
    ),
    Broken(
        *("infinity", "acdc", set_voxels(IMAGE, put(np.inf)), IMAGE),
        *("0.28% NaN or infinite", "finite intensities", "exclude the case"),
    ),
    Broken(
        *("too large to be scaled", "acdc", set_voxels(IMAGE, put(1e300, np.float64)), IMAGE),
        *(r"values from 0?.* to 1e\+300", r"at most 1e\+30", "copy it again"),
    ),
    Broken(
        *("constant image", "acdc", set_voxels(IMAGE, lambda array: array * 0 + 5), IMAGE),
        *("the value 5 everywhere", "an image with contrast", "exclude the case"),
    ),
    Broken(
        *("one bright voxel", "acdc", set_voxels(IMAGE, lambda array: put(9)(array * 0)), IMAGE),
        *("99.5th percentile 0 in channel 0", "an image with contrast", "volume-zscore"),
    ),
    Broken(
        *("complex numbers", "acdc", set_voxels(IMAGE, lambda array: array.astype(np.complex64)), IMAGE),
        *("values of type complex64", "numbers", "export as a grey image"),
    ),
    Broken(
        *("colours", "acdc", set_voxels(IMAGE, coloured), IMAGE),
        *(r"values of type \[\('R'", "numbers", "export as a grey image"),
    ),
    Broken("folder for a file", "acdc", as_folder(IMAGE), IMAGE, "Is a directory", WHOLE, AGAIN),
    Broken("broken link", "acdc", as_broken_link(MASK), MASK, "No such file", WHOLE, AGAIN),
    Broken(
        *("cine as a folder", "acdc", lambda root: (root / "patient003/patient003_4d.nii.gz").mkdir()),
        *("patient003_4d.nii.gz", "Is a directory", WHOLE, AGAIN),
    ),
)


NIFTI_MASKS = (
    Broken(
        *("mask of another shape", "acdc", set_voxels(MASK, lambda array: array[..., :2]), MASK),
        *(r"a mask of shape \(10, 12, 2\)", r"\(10, 12, 3\), the shape of patient002_frame04.nii.gz", "image's grid"),
    ),
    Broken(
        *("transposed mask", "acdc", set_voxels(MASK, lambda array: array.transpose(1, 0, 2)), MASK),
        *(r"a mask of shape \(12, 10, 3\)", r"\(10, 12, 3\), the shape of patient002_frame04.nii.gz", "image's grid"),
    ),
    Broken(
        *("shifted mask", "nnunet", set_voxels(CASE_MASK, lambda array: array, SHIFTED), CASE_MASK),
        *(r"offset \(3, 0, 0\)", r"patient002_ED_0000.nii.gz: .*offset \(0, 0, 0\)", "resample the mask"),
    ),
    Broken(
        *("flipped mask", "nnunet", set_voxels(CASE_MASK, lambda array: array, FLIPPED), CASE_MASK),
        *("axes RPS", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("affine that is no number", "nnunet", set_header(CASE_MASK, (SROW_X, "<f", np.nan)), CASE_MASK),
        *(r"axes \?\?\?, voxel size \(nan", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("affine without extent", "nnunet", set_header(CASE_MASK, (SROW_X, "<f", 0.0)), CASE_MASK),
        *(r"axes \?PS, voxel size \(0, ", "axes LPS", "copy the image's affine"),
    ),
    Broken(
        *("shifted channel", "nnunet-channels", set_voxels("imagesTr/patient002_ED_0001.nii.gz", np.copy, SHIFTED)),
        *("patient002_ED_0001.nii.gz", r"offset \(3, 0, 0\)", r"offset \(0, 0, 0\)", "resample the channel"),
    ),
    Broken(
        *("half labels", "acdc", set_voxels(MASK, lambda array: array * np.float32(0.5)), MASK),
        *("label values 0.5, 1.5$", "only 0, 1, 2, 3", "nearest neighbour, or a threshold.*data.exclude$"),
    ),
    Broken(
        *("nearly whole labels", "acdc", set_voxels(MASK, put(1.0000001)), MASK),
        *("label values 1.00000012$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("unknown label", "acdc", set_voxels(MASK, put(4, np.uint8)), MASK),
        *("label values 4$", "only 0, 1, 2, 3", "correct the mask, or leave the case out with data.exclude$"),
    ),
    Broken(
        *("negative label", "acdc", set_voxels(MASK, put(-1, np.int16)), MASK),
        *("label values -1$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("label that is no number", "acdc", set_voxels(MASK, put(np.nan)), MASK),
        *("label values nan$", "only 0, 1, 2, 3", "correct the mask"),
    ),
    Broken(
        *("complex labels", "acdc", set_voxels(MASK, lambda array: array.astype(np.complex64)), MASK),
        *("values of type complex64", "numbers", "export"),
    ),
    Broken("coloured labels", "acdc", set_voxels(MASK, coloured), MASK, "values of type", "numbers", "export"),
    Broken(
        *("4D mask", "acdc", set_voxels(MASK, lambda array: np.stack([array] * 2, -1)), MASK),
        *(r"a 4D mask of shape \(10, 12, 3, 2\)", "one 3D mask", "one time point"),
    ),
)
