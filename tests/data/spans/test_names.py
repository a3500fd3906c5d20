import pytest

from data.spans.names import describe_spans


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([7], "span-00007"),
        ([7, 8], "span-00007, span-00008"),
        ([9, 8, 7], "span-00007 to span-00009"),
        ([1, 3, 4, 5, 99999], "span-00001, span-00003 to span-00005, span-99999"),
    ],
)
def test_spans_in_a_row_are_named_by_the_first_and_the_last(numbers, text):
    assert describe_spans(f"span-{number:05d}" for number in numbers) == text
