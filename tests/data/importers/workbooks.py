"""Small workbooks, as spreadsheets write them, with numbers, dates, texts and truth values."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

Rows = Sequence[Sequence[object]]


class Merged(NamedTuple):
    """A cell that is merged with those to the right of it and below."""

    value: object
    rows: int
    columns: int = 1


_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OASIS = "urn:oasis:names:tc:opendocument:xmlns"


def write_xlsx(path: Path, sheets: Mapping[str, Rows]) -> Path:
    """Writes a workbook of Excel; the second style is that of dates."""
    listed = links = ""
    formats = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/></cellXfs>'
    parts = {"xl/styles.xml": f"<styleSheet {_MAIN}>{formats}</styleSheet>"}
    for n, (name, rows) in enumerate(sheets.items(), 1):
        listed += f'<sheet name="{escape(name)}" sheetId="{n}" r:id="r{n}"/>'
        links += f'<Relationship Id="r{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        cells = "".join(f"<row>{''.join(map(_xlsx_cell, row))}</row>" for row in rows)
        merged = "".join(f'<mergeCell ref="{place}"/>' for place in _list_merged(rows))
        merged = merged and f"<mergeCells>{merged}</mergeCells>"
        sheet = f"<worksheet {_MAIN}><sheetData>{cells}</sheetData>{merged}</worksheet>"
        parts[f"xl/worksheets/sheet{n}.xml"] = sheet
    book = f'<Relationship Id="r0" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    related = f'<Relationships xmlns="{_PACKAGE}/relationships">{{}}</Relationships>'
    parts |= {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"/>',
        "_rels/.rels": related.format(book),
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": related.format(links),
    }
    return _write_parts(path, parts)


def _list_merged(rows: Rows) -> Iterator[str]:
    for y, row in enumerate(rows, 1):
        for x, cell in enumerate(row):
            if isinstance(cell, Merged):
                yield f"{chr(65 + x)}{y}:{chr(64 + x + cell.columns)}{y + cell.rows - 1}"


def write_ods(path: Path, rows: Rows) -> Path:
    """Writes a workbook of LibreOffice with one sheet."""
    table = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    spaces = " ".join(f'xmlns:{name}="{_OASIS}:{name}:1.0"' for name in ("office", "table", "text"))
    parts = {
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{_OASIS}:manifest:1.0"/>',
        "content.xml": f"<office:document-content {spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="Sheet1">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>",
    }
    return _write_parts(path, parts)


def _write_parts(path: Path, parts: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _xlsx_cell(value: object) -> str:
    if isinstance(value, Merged):
        value = value.value
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, date):
        moment = datetime(value.year, value.month, value.day) if not isinstance(value, datetime) else value
        return f'<c s="1"><v>{(moment - datetime(1899, 12, 30)).total_seconds() / 86_400}</v></c>'
    if isinstance(value, (int, float)):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def _ods_cell(value: object) -> str:
    if value is None:
        return "<table:covered-table-cell/>"
    if isinstance(value, Merged):
        spans = f'number-rows-spanned="{value.rows}" table:number-columns-spanned="{value.columns}"'
        return _ods_cell(value.value).replace("<table:table-cell ", f"<table:table-cell table:{spans} ")
    if isinstance(value, (int, float)):
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
    text = f"<text:p>{escape(str(value))}</text:p>"
    return f'<table:table-cell office:value-type="string">{text}</table:table-cell>'
