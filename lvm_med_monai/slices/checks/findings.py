"""A bounded list of sentences about what is wrong, with the count of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_SPELT_OUT = 20
"""Findings that are kept as sentences; the rest is counted."""


@dataclass
class Findings:
    """Sentences in the order in which they were added.

    Attributes:
        sentences: the first `MAX_SPELT_OUT`.
        total: how many were added.
    """

    sentences: list[str] = field(default_factory=list)
    total: int = 0

    def add(self, sentence: str) -> None:
        """Add one."""
        self.total += 1
        if len(self.sentences) < MAX_SPELT_OUT:
            self.sentences.append(sentence)

    def extend(self, sentences: Iterable[str]) -> None:
        """Add some."""
        for sentence in sentences:
            self.add(sentence)

    def merge(self, other: Findings) -> None:
        """Add those of another, which may have dropped sentences."""
        room = MAX_SPELT_OUT - len(self.sentences)
        self.sentences += other.sentences[:room]
        self.total += other.total

    def lines(self) -> tuple[str, ...]:
        """The sentences, and how many more there are."""
        more = self.total - len(self.sentences)
        return (*self.sentences, f"and {more} more") if more else tuple(self.sentences)
