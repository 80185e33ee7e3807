"""What a word is, in scripts that part words by spaces and in those that do not.

Chinese and Japanese write no spaces: a run of their characters is no word but a sentence, and no
two titles would share one. There, characters stand for words, or every two that follow each other.
"""

from __future__ import annotations

#: kana and the common Han characters
UNSPACED = "\u3040-\u30ff\u3400-\u9fff"
_LETTER = rf"[^\W{UNSPACED}]"

#: words, and single characters where no space parts them
WORDS = rf"[{UNSPACED}]|{_LETTER}+"

#: words of two letters or more, and every two characters that follow each other where no space
#: parts them; it looks ahead so that pairs may overlap
TERMS = rf"(?=([{UNSPACED}]{{1,2}}|(?<!{_LETTER}){_LETTER}{{2,}}))"
