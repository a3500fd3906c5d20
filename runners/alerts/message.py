"""What is told."""

from collections.abc import Iterator
from dataclasses import dataclass

from runners.alerts.troubles import Trouble

# More is on the page of the run; Slack cuts at 40,000 characters.
_MOST_SENTENCES, _LONGEST = 5, 400


@dataclass(frozen=True)
class Message:
    """Troubles that are new, those that are over, and what somebody on call asks next."""

    model: str
    written: str  # where and when
    troubles: tuple[Trouble, ...] = ()
    over: tuple[str, ...] = ()  # what was told of each
    facts: tuple[str, ...] = ()  # what is in production, what to type, where the report is: a line each

    @property
    def subject(self) -> str:
        """The first of it, on one line."""
        said = [*(trouble.what for trouble in self.troubles), *(f"Resolved: {what}" for what in self.over)]
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        return f"[edgeline] {self.model}: {_line(said[0]) if said else 'a test, nothing is wrong.'}{more}"

    @property
    def text(self) -> str:
        """All of it, in plain words."""
        return "\n".join(map(_line, self._lines()))

    def _lines(self) -> Iterator[str]:
        yield from (self.subject, "")
        for trouble in self.troubles:
            yield trouble.what
            yield from (f"- {sentence}" for sentence in trouble.why[:_MOST_SENTENCES])
            yield from (
                f"- and {len(trouble.why) - _MOST_SENTENCES} more" for _ in trouble.why[_MOST_SENTENCES:][:1]
            )
            yield from (f"To do: {trouble.do}" for _ in trouble.do[:1])
        yield from (f"Resolved: {what}" for what in self.over)
        yield from ("", *self.facts, self.written)


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
