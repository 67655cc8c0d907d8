"""Whether an exported file does what the model does that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grader.capstone.errors import CapstoneError
from grader.capstone.serving.index import embed_images, open_session
from grader.capstone.serving.manifest import Parity

MOST_DIFFERENCE = 1e-4


def check_parity(file: Path, images: np.ndarray, expected: np.ndarray, names: np.ndarray) -> Parity:
    """Run the file in onnxruntime on `images`, float32 (n, 3, size, size) in [0, 1] on white.

    `expected`: torch's unit vectors of the same drawings, float32 (n, width); `names`: those of all names, float32
    (concepts, width). Raises CapstoneError when a component of any embedding differs by 1e-4 or more, or when any
    drawing's first answer is another one.
    """
    session = open_session(file)
    # The last drawing alone: a file may take batches and still fail for one image, which is what a server sends.
    found = np.concatenate([embed_images(session, part) for part in (images[:-1], images[-1:]) if len(part)])
    if found.shape != expected.shape:
        raise CapstoneError(f"the exported model answers in shape {found.shape}, torch in {expected.shape}")
    difference = float(np.abs(found - expected).max())
    if not difference < MOST_DIFFERENCE:  # nan is no parity either
        raise CapstoneError(
            f"the exported model differs from torch by {difference:.2g} in an embedding; less than {MOST_DIFFERENCE:g} "
            "is expected of the same weights, so nothing is written"
        )
    other = np.flatnonzero((found @ names.T).argmax(axis=1) != (expected @ names.T).argmax(axis=1))
    if len(other):
        raise CapstoneError(
            f"the exported model gives another first answer than torch for {len(other)} of {len(images)} drawings (the "
            f"first is number {other[0]}), so nothing is written"
        )
    return Parity(difference, len(images))
