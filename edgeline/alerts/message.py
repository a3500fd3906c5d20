"""The message of an alert."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgeline.alerts.troubles import Trouble

# The page of the run has the rest; Slack cuts messages at 40,000 characters.
_MOST_SENTENCES, _LONGEST = 5, 400


@dataclass(frozen=True)
class Message:
    """New troubles, resolved troubles, and the facts that somebody on call asks for next."""

    model: str
    written: str  # where and when
    troubles: tuple[Trouble, ...] = ()
    over: tuple[str, ...] = ()  # the sentence that was sent about each
    facts: tuple[str, ...] = ()  # what is in production, what to type, where the report is: a line each

    @property
    def subject(self) -> str:
        """Returns the first trouble, and how many more there are, on one line."""
        titles = [*(trouble.what for trouble in self.troubles), *(f"Resolved: {what}" for what in self.over)]
        more = f" (and {len(titles) - 1} more)" if len(titles) > 1 else ""
        title = _shorten(titles[0]) if titles else "this is a test, nothing is wrong."
        return f"[edgeline] {self.model}: {title}{more}"

    @property
    def text(self) -> str:
        """Returns the whole message as plain text."""
        return "\n".join(map(_shorten, self._list_lines()))

    def _list_lines(self) -> Iterator[str]:
        yield from (self.subject, "")
        for trouble in self.troubles:
            yield trouble.what
            yield from (f"- {sentence}" for sentence in trouble.why[:_MOST_SENTENCES])
            if len(trouble.why) > _MOST_SENTENCES:
                yield f"- and {len(trouble.why) - _MOST_SENTENCES} more"
            if trouble.do:
                yield f"To do: {trouble.do}"
        yield from (f"Resolved: {what}" for what in self.over)
        yield from ("", *self.facts, self.written)


def _shorten(text: str) -> str:
    """Puts a text on one line, and cuts it at 400 characters."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
