"""Reading event logs: what is right comes in order of time, what is wrong is named by row and column."""

from pathlib import Path

import pytest

from sagabus.cli.demonstration.event_log import Columns, EventLog, MalformedLogError, read_log

PLAIN = Columns("case", "activity")
TIMED = Columns("case", "activity", "time")


def read(tmp_path: Path, content: str | bytes, columns: Columns = PLAIN) -> EventLog:
    path = tmp_path / "log.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_log(path, columns)


def complaint(tmp_path: Path, content: str | bytes, columns: Columns = PLAIN) -> str:
    with pytest.raises(MalformedLogError) as raised:
        read(tmp_path, content, columns)
    text = str(raised.value)
    assert "\n" not in text
    return text.removeprefix(f"{tmp_path / 'log.csv'}: ")


def activities(log: EventLog) -> list[str]:
    return [event.activity for event in log.events]


def test_without_a_time_column_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    log = read(tmp_path, "case,activity\n1,b\n2,c\n1,a\n")

    assert activities(log) == ["b", "c", "a"]
    assert [event.row for event in log.events] == [1, 2, 3]
    assert {case: [e.activity for e in events] for case, events in log.by_case().items()} == {
        "1": ["b", "a"],
        "2": ["c"],
    }


def test_rows_come_in_order_of_time_over_all_cases(tmp_path: Path) -> None:
    log = read(tmp_path, "case,activity,time\n1,third,2024-01-03\n2,first,2024-01-01\n1,second,2024-01-02\n", TIMED)

    assert activities(log) == ["first", "second", "third"]


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = "".join(f"1,{number:03},2024-01-01\n" for number in range(200))

    log = read(tmp_path, f"case,activity,time\n{rows}", TIMED)

    assert activities(log) == sorted(activities(log))


def test_instants_of_different_zones_are_compared_as_instants(tmp_path: Path) -> None:
    later, earlier = "2024-01-01T12:00:00+01:00", "2024-01-01T12:30:00+02:00"

    log = read(tmp_path, f"case,activity,time\n1,later,{later}\n1,earlier,{earlier}\n", TIMED)

    assert activities(log) == ["earlier", "later"]


def test_times_may_be_numbers_and_are_ordered_as_numbers(tmp_path: Path) -> None:
    log = read(tmp_path, "case,activity,time\n1,ten,10\n1,nine,9\n1,half,9.5\n", TIMED)

    assert activities(log) == ["nine", "half", "ten"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_usual_delimiters_are_understood(tmp_path: Path, delimiter: str) -> None:
    log = read(tmp_path, "case,activity\n1,a\n".replace(",", delimiter))

    assert activities(log) == ["a"]


def test_byte_order_mark_blank_lines_and_quotes_are_understood(tmp_path: Path) -> None:
    log = read(tmp_path, '\ufeffcase,activity\r\n1,"two\nlines, one cell"\r\n\r\n2,b\r\n')

    assert activities(log) == ["two\nlines, one cell", "b"]
    assert [event.row for event in log.events] == [1, 2]


def test_paths_are_counted(tmp_path: Path) -> None:
    log = read(tmp_path, "case,activity\n1,a\n1,b\n2,a\n2,b\n3,a\n")

    assert log.paths().most_common() == [(("a", "b"), 2), (("a",), 1)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "header (line 1): the file is empty"),
        ("\n1,a\n", "header (line 1): the header is empty"),
        ("case,activity\n", "header (line 1): there are no rows below the header"),
        ("case,what\n1,a\n", "header (line 1), column 'activity': there is no such column; the file has: case, what"),
        ("case,activity,case\n1,a,2\n", "header (line 1), column 'case': there is more than one column of this name"),
        ("case,activity\n1,a\n ,b\n", "row 2 (line 3), column 'case': is empty"),
        ("case,activity\n1,a\n\n2,\n", "row 2 (line 4), column 'activity': is empty"),
        ("case,activity\n1,a\n2\n", "row 2 (line 3), column 'activity': missing: the row has 1 cells, the header 2"),
        ("case,activity\n1,a,x\n", "row 1 (line 2), column '#3': the row has 3 cells, the header 2"),
        ('case,activity\n1,"a\n2,b\n', "row 1 (line 2): cannot be read as CSV: unexpected end of data"),
        ('case,activity\n1,"a\nb"\n2,"c"d\n', "row 2 (line 4): cannot be read as CSV: ',' expected after '\"'"),
        (
            b"case,activity\n1,caf\xe9\n",
            "row 1 (line 2), column 'activity': byte 0xe9 is not UTF-8: save the file as UTF-8",
        ),
        (b"case,caf\xe9\n1,a\n", "header (line 1), column '#2': byte 0xe9 is not UTF-8: save the file as UTF-8"),
        (
            "case,activity\n1,a\n".encode("utf-16"),
            "header (line 1), column '#1': byte 0xff is not UTF-8: save the file as UTF-8",
        ),
        (b"case,activity\n1,a\x00b\n", "row 1 (line 2), column 'activity': has a NUL character"),
        (f"case,activity\n{'k' * 201},a\n", "row 1 (line 2), column 'case': has 201 characters; 200 are allowed"),
    ],
)
def test_a_malformed_file_is_reported_by_row_line_and_column(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    assert complaint(tmp_path, content) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2024-01-01", "soon"], "row 2 (line 3), column 'time': 'soon' is not a time (ISO 8601, or a number)"),
        (["2024-02-30"], "row 1 (line 2), column 'time': '2024-02-30' is not a time (ISO 8601, or a number)"),
        (["nan"], "row 1 (line 2), column 'time': 'nan' is not a time (ISO 8601, or a number)"),
        ([""], "row 1 (line 2), column 'time': '' is not a time (ISO 8601, or a number)"),
        (
            ["2024-01-01T00:00", "2024-01-01T00:00Z"],
            (
                "row 2 (line 3), column 'time': is a time with a zone, the rows before have a time without a zone: "
                "they cannot be put in order"
            ),
        ),
        (
            ["1", "2024-01-01"],
            (
                "row 2 (line 3), column 'time': is a time without a zone, the rows before have a number: "
                "they cannot be put in order"
            ),
        ),
    ],
)
def test_a_time_that_is_none_is_reported_by_its_row(tmp_path: Path, times: list[str], expected: str) -> None:
    rows = "".join(f"1,a,{time}\n" for time in times)

    assert complaint(tmp_path, f"case,activity,time\n{rows}", TIMED) == expected
