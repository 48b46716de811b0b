"""What a harness found, in one line."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 12
"""Failures that are printed."""


@dataclass
class Outcome:
    """`rounds` attacks, and a line for each that was not withstood.

    `control` says what the deliberately broken build did: a harness that does not catch it proves nothing, and is void.
    """

    row: str
    rounds: int = 0
    failures: list[str] = field(default_factory=list)
    figures: str = ""
    control: str = ""
    void: bool = False
    skipped: str = ""

    @property
    def good(self) -> bool:
        return not self.failures and not self.void

    def fail(self, what: str) -> None:
        self.failures.append(what)

    def caught(self, after: int | None, broken: str) -> None:
        """Notes the control: the round that caught the broken build, or None."""
        self.void = after is None
        self.control = f"control ({broken}) {'NOT CAUGHT' if after is None else f'caught in round {after}'}"

    def line(self, seconds: float) -> str:
        if self.skipped:
            return f"{self.row}  skipped: {self.skipped}"
        verdict = "VOID" if self.void else "ok" if self.good else "FAILED"
        failed = len(self.failures)
        parts = [f"{self.row}  {verdict}: {self.rounds - min(failed, self.rounds):,} of {self.rounds:,}", self.figures]
        return "; ".join([part for part in (*parts, self.control) if part]) + f"  [{seconds:.0f} s]"

    def lines(self, seconds: float) -> list[str]:
        more = len(self.failures) - SHOWN
        listed = [f"    {failure}" for failure in self.failures[:SHOWN]]
        return [self.line(seconds), *listed, *([f"    and {more} more"] if more > 0 else [])]
