"""Words that are searched for, and the items whose texts hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from quintet.data.features import FeatureTable
from quintet.data.interactions import Floats
from quintet.data.words import TERMS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    from quintet.serve.trained import Trained

#: a full match of the query outweighs what evidence usually tells two items apart
QUERY_WEIGHT = 10.0
MOST_WORDS = 100_000


def matched(trained: Trained, query: str | None) -> Floats | None:
    """[I] cosine of a query and each item; None where no word is searched or the texts have none.

    Args:
        trained: whose catalogue is searched.
        query: the words.
    """
    index = trained.text_index if query and query.strip() else None
    return None if index is None else index.match(query or "")


@dataclass(frozen=True)
class TextIndex:
    """The words of a catalogue, weighed by tf-idf.

    Attributes:
        vectorizer: turns text into weights of words.
        item_IT: [I, T] the weights of every item's words.
    """

    vectorizer: TfidfVectorizer
    item_IT: csr_matrix

    @classmethod
    def of(cls, items: FeatureTable) -> Self | None:
        """The index of the items' texts and categories; None where there is no word."""
        if not items.texts:
            return None
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            max_features=MOST_WORDS, sublinear_tf=True, token_pattern=TERMS
        )
        try:
            item_IT = vectorizer.fit_transform(items.joined_text()).tocsr()
        except ValueError:  # no word of two letters anywhere
            return None
        return cls(vectorizer, item_IT)

    def match(self, query: str) -> Floats:
        """[I] cosine of the query and each item's texts and categories; 0 shares no word."""
        match_I1 = self.item_IT @ self.vectorizer.transform([query]).T
        scores_I: Floats = match_I1.toarray()[:, 0].astype("float32")
        return scores_I
