"""What a fault did, counted round by round, as one line."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_NOTES = 6


@dataclass
class Tally:
    """The rounds of one fault.

    Attributes:
        name: of the fault.
        tried: rounds.
        survived: rounds after which everything was as promised.
        lost: what was promised and is not there: records, answers.
        notes: figures and troubles, for the line's end.
        not_run: why it could not run; then nothing counts.
    """

    name: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    notes: list[str] = field(default_factory=list)
    not_run: str = ""

    def count(self, lost: int = 0, *, ok: bool = True, trouble: str = "") -> None:
        """One round: survived if nothing was lost and ``ok``; else ``trouble`` says what was."""
        self.tried += 1
        self.lost += lost
        good = ok and not lost
        self.survived += good
        if not good and trouble and len(self.notes) < MOST_NOTES:
            self.notes.append(trouble)

    @property
    def passed(self) -> bool:
        """Whether it ran and every round was survived; what did not run has not passed."""
        return not self.not_run and 0 < self.tried == self.survived and not self.lost

    def line(self) -> str:
        """The line that is printed."""
        if self.not_run:
            return f"{self.name}: not run ({self.not_run})"
        end = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"{self.name}: tried {self.tried}, survived {self.survived}, lost {self.lost}{end}"
