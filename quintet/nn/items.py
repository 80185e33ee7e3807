"""Item vectors of a tower: of the whole catalogue, or of the sample that one training step reads.

Shapes: I items that have vectors here, N items asked for, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from quintet.nn.catalogue_sample import CatalogueSample


@dataclass(frozen=True)
class ItemVectors:
    """A tower's items.

    Attributes:
        vector_ID: [I, D] their vectors.
        bias_I: [I] their biases.
        sample: which items they are; all, in the order of the catalogue, when absent.
    """

    vector_ID: Tensor
    bias_I: Tensor
    sample: CatalogueSample | None = None

    def places(self, item: Tensor) -> Tensor:
        """Where rows of the catalogue stand here, in any shape; I or more for padding."""
        return item if self.sample is None else self.sample.place_I[item]

    def at(self, item_N: Tensor) -> Tensor:
        """[N, D] vectors of rows of the catalogue, which must be among these."""
        return F.embedding(self.places(item_N), self.vector_ID)

    def correction(self) -> Tensor | None:
        """[I] what a softmax over a sample adds to the logits of all but a row's own target."""
        return None if self.sample is None else self.sample.correction_C
