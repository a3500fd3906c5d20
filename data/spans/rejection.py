"""Why one row of a span is kept out: the slugs that quarantine, reports and the gate count by."""


class RowRejected(Exception):
    """One row, or what it names, cannot be used: the slug to count by, and in a sentence what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
