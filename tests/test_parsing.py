"""What parsing takes off each format, and how it refuses what it cannot use."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from datetime import UTC, date, datetime
from io import BytesIO

import pytest
from docx import Document
from fpdf import FPDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import DocumentRejected, MemlakeError
from memory.parsing import ParsedText, ParseLimits, parse, parse_date, readable_stem
from memory.parsing.office import MAX_MARKUP_BYTES

LIMITS = ParseLimits()


def read(data: bytes | str, path: str = "notes.md", limits: ParseLimits = LIMITS) -> ParsedText:
    return parse(data.encode() if isinstance(data, str) else data, path, limits)


def refusal(data: bytes | str, path: str, limits: ParseLimits = LIMITS) -> DocumentRejected:
    with pytest.raises(DocumentRejected) as caught:
        read(data, path, limits)
    assert path in caught.value.message, "a refusal names the document"
    assert caught.value.remedy, "a refusal says what to do"
    return caught.value


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    document = FPDF()
    document.set_font("helvetica")
    document.set_creation_date(datetime(2021, 5, 4, 12, tzinfo=UTC))
    if title:
        document.set_title(title)
        document.set_author("Ada Lovelace")
    if password:
        document.set_encryption(owner_password="owner", user_password=password)
    for text in pages:
        document.add_page()
        if text:
            document.cell(text=text)
    return bytes(document.output())


def docx(*paragraphs: str, heading: str = "", title: str = "") -> bytes:
    document = Document()
    document.core_properties.title = title
    document.core_properties.author = "Grace Hopper"
    document.core_properties.created = datetime(2020, 2, 3)
    if heading:
        document.add_heading(heading, 1)
    for text in paragraphs:
        document.add_paragraph(text)
    return saved(document)


def saved(document: object) -> bytes:
    stream = BytesIO()
    document.save(stream)  # type: ignore[attr-defined]
    return stream.getvalue()


def repacked(data: bytes, **changed: bytes) -> bytes:
    """The ZIP ``data`` with members added or replaced; ``__`` stands for a slash and ``_`` for a dot in their names."""
    members = {name.replace("__", "/").replace("_", "."): content for name, content in changed.items()}
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in members:
                new.writestr(name, old.read(name))
        for name, content in members.items():
            new.writestr(name, content)
    return stream.getvalue()


class TestMarkdown:
    def test_front_matter_goes_from_the_text_into_the_metadata(self) -> None:
        found = read(
            "---\ntitle: A *plain* title\nauthors: [Ann, {name: Bob}]\ndate: 2021-05-04\n---\n\n# Head\n\nBody\n"
        )
        assert (found.title, found.author, found.date) == ("A *plain* title", "Ann, Bob", date(2021, 5, 4))
        assert found.text == "# Head\n\nBody\n"
        assert found.media_type == "text/markdown"

    @pytest.mark.parametrize(
        "matter", ["a: [", "a: 2021-13-45", "just a line", "? [[[", "- a\n- b", "a: b: c", "x: " + "[" * 500]
    )
    def test_malformed_front_matter_stays_in_the_text(self, matter: str) -> None:
        text = f"---\n{matter}\n---\nBody\n"
        assert read(text).text == text

    def test_an_alias_bomb_in_front_matter_is_harmless(self) -> None:
        bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
        assert read(f"---\n{bomb}author: *a59\n---\nBody").text == "Body"

    def test_a_document_of_front_matter_alone_is_empty(self) -> None:
        assert "no text" in str(refusal("---\ntitle: T\n---\n", "a.md"))

    def test_the_title_is_the_first_heading_outside_code(self) -> None:
        assert read("```sh\n# a comment\n```\n\n## The **real** [title](x.md) ##\n").title == "The real title"

    def test_a_heading_keeps_what_belongs_to_names(self) -> None:
        assert read("# The max_bytes of `a_b_c`\n").title == "The max_bytes of a_b_c"
        assert read("# Learning C#\n").title == "Learning C#"
        assert read("# ##\n# Next ##\n").title == "Next"

    @pytest.mark.parametrize("unit", [" ", "# ", "[", "![", "_", "`", "---\n", "&a "])
    def test_no_pattern_takes_quadratic_time(self, unit: str) -> None:
        start = time.perf_counter()
        read("---\n# " + unit * 100_000 + "x")
        assert time.perf_counter() - start < 2

    def test_without_a_heading_the_file_name_is_the_title(self) -> None:
        assert read("Text.", "notes/how_to-start.md").title == "how to start"
        assert readable_stem("a/.env") == ".env"


class TestText:
    def test_line_ends_marks_and_nul_are_normalised_once_and_nothing_else_is(self) -> None:
        found = read("\ufeffone  \r\ntwo\rth\0ree e\u0301\n".encode(), "a.txt")
        assert found.text == "one  \ntwo\nthree e\u0301\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    def test_unicode_encodings_with_their_mark_are_read(self, encoding: str) -> None:
        assert read("Grüße, 世界".encode(encoding), "a.txt").text == "Grüße, 世界"

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("Le café est déjà fermé, à bientôt les élèves. Où est la bibliothèque ? " * 3, "cp1252"),
            ("El niño comió una manzana en la habitación después de la reunión de mañana.", "cp1252"),
            ("Привет, как дела? Это просто пример русского текста для проверки кодировки.", "cp1251"),
            ("これは日本語のテキストです。文字コードの検出を確認します。", "cp932"),
            ("这是一个用来测试编码检测的中文文本。我们希望它能正常工作。", "gb18030"),
        ],
    )
    def test_a_legacy_encoding_is_told_when_the_text_is_long_enough(self, text: str, encoding: str) -> None:
        assert read(text.encode(encoding), "a.txt").text == text

    def test_an_uncertain_encoding_is_refused(self) -> None:
        assert "UTF-8" in refusal("café".encode("latin-1"), "a.txt").remedy

    def test_damaged_utf8_is_refused_rather_than_garbled(self) -> None:
        damaged = "Größe überall, schöne Grüße".encode() + b"\xff"
        assert "damaged at byte 33" in str(refusal(damaged, "a.txt"))

    def test_a_false_byte_order_mark_is_refused(self) -> None:
        assert "UTF-16" in str(refusal(b"\xff\xfea", "a.txt"))

    def test_a_hash_is_a_comment_in_code_and_not_a_title(self) -> None:
        assert read("# set up\nx = 1\n", "my_module.py").title == "my module"

    def test_tables_and_configuration_have_their_media_type(self) -> None:
        assert read("a,b\n1,2\n", "t.csv").media_type == "text/csv"
        assert read("x", "Makefile").media_type == "text/plain"


class TestHtml:
    PAGE = """<!doctype html><html><head><title> A  page </title><meta name="author" content="Bob">
        <meta property="article:published_time" content="2021-05-04T10:00:00Z"><script>evil()</script>
        <style>p {}</style></head><body><nav>Menu</nav><div role="navigation">Crumbs</div><h1>Head</h1>
        <p>Hello <b>world</b>.<img alt="chart" src="data:image/png;base64,AAAA"></p>
        <ul><li>one</li></ul><time datetime="1999-01-01">then</time></body></html>"""

    def test_a_page_becomes_markdown_with_its_metadata(self) -> None:
        found = read(self.PAGE, "a.html")
        assert (found.title, found.author, found.date) == ("A page", "Bob", date(2021, 5, 4))
        assert "# Head\n\nHello **world**.chart" in found.text
        assert not any(word in found.text for word in ("evil", "Menu", "Crumbs", "p {}", "base64"))
        assert all(line == line.rstrip() for line in found.text.split("\n"))

    def test_time_and_heading_stand_in_for_missing_meta_tags(self) -> None:
        found = read("<h1>Only <i>a</i> heading</h1><time datetime='2020-01-02'>x</time>", "a.htm")
        assert (found.title, found.date) == ("Only a heading", date(2020, 1, 2))

    def test_the_declared_encoding_is_used(self) -> None:
        page = '<meta charset="windows-1251"><p>Да</p>'
        assert read(page.encode("cp1251"), "a.html").text == "Да"

    def test_a_wrongly_declared_encoding_does_not_garble_utf8(self) -> None:
        assert read('<meta charset="iso-8859-1"><p>Grüße</p>', "a.html").text == "Grüße"

    @pytest.mark.parametrize("depth", [90, 5000])
    def test_deep_nesting_gives_text_without_exhausting_the_stack(self, depth: int) -> None:
        assert read("<div>" * depth + "core", "a.html").text == "core"

    def test_a_page_of_scripts_alone_is_empty(self) -> None:
        assert "no text" in str(refusal("<html><script>x</script></html>", "a.html"))

    def test_a_page_without_extension_is_known_by_its_doctype(self) -> None:
        assert read(self.PAGE, "pages/index").media_type == "text/html"


class TestPdf:
    def test_pages_can_be_found_by_their_offsets(self) -> None:
        found = read(pdf("first page", "", "third page", title="Report"), "r.pdf")
        assert (found.title, found.author, found.date) == ("Report", "Ada Lovelace", date(2021, 5, 4))
        assert len(found.page_starts) == 3
        assert found.text[found.page_starts[0] :].startswith("first page")
        assert found.text[found.page_starts[2] :] == "third page"
        assert list(found.page_starts) == sorted(found.page_starts)

    def test_a_pdf_is_known_by_its_bytes(self) -> None:
        assert read(pdf("text"), "wrong_name.txt").media_type == "application/pdf"

    def test_without_metadata_the_file_name_is_the_title(self) -> None:
        assert read(pdf("# not a heading"), "annual-report.pdf").title == "annual report"

    def test_an_encrypted_pdf_is_refused(self) -> None:
        assert "encrypted" in str(refusal(pdf("secret", password="word"), "a.pdf"))

    def test_a_pdf_without_text_needs_ocr(self) -> None:
        assert "OCR" in refusal(pdf("", ""), "scan.pdf").remedy

    def test_too_many_pages_are_refused(self) -> None:
        assert "2 pages" in str(refusal(pdf("a", "b"), "a.pdf", ParseLimits(max_pages=1)))

    def test_too_much_text_is_refused(self) -> None:
        assert "max_chars" in refusal(pdf("abcdef", "ghi"), "a.pdf", ParseLimits(max_chars=7)).remedy

    @pytest.mark.parametrize("cut", [20, 400])
    def test_a_damaged_pdf_is_refused(self, cut: int) -> None:
        refusal(pdf("some text")[:cut], "a.pdf")

    def test_text_named_pdf_is_refused(self) -> None:
        assert "malformed" in str(refusal("not a pdf", "a.pdf"))

    def test_no_library_logs_anything(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        broken = pdf("text").replace(b"startxref\n", b"startxref\n9")
        read(broken, "a.pdf")
        assert caplog.text == ""
        assert capfd.readouterr() == ("", "")


class TestOffice:
    def test_a_docx_becomes_markdown_with_its_properties(self) -> None:
        found = read(docx("Hello world.  ", "Second.", heading="The heading"), "a.docx")
        assert found.text == "# The heading\n\nHello world.\n\nSecond."
        assert (found.title, found.author, found.date) == ("The heading", "Grace Hopper", date(2020, 2, 3))
        assert read(docx("x", title="Given"), "a.docx").title == "Given"

    def test_an_empty_docx_is_refused(self) -> None:
        assert "no text" in str(refusal(docx(), "a.docx"))

    def test_a_damaged_docx_is_refused(self) -> None:
        refusal(docx("text")[:1000], "a.docx")
        refusal(repacked(docx("text"), word__document_xml=b"<broken"), "a.docx")

    def test_text_named_docx_is_refused(self) -> None:
        refusal("just text", "a.docx")

    def test_a_zip_bomb_is_refused_before_it_is_unpacked(self) -> None:
        bomb = repacked(docx("x"), word__document_xml=b"<w>" + b" " * MAX_MARKUP_BYTES)
        assert len(bomb) < 1_000_000
        assert "bomb" in str(refusal(bomb, "a.docx"))
        images = repacked(docx("x"), word__media__image1_png=bytes(3_000_000))
        assert "bomb" in str(refusal(images, "a.docx", ParseLimits(max_bytes=100_000)))

    @pytest.mark.parametrize("member", ["word__document_xml", "docProps__core_xml"])
    def test_entities_are_refused(self, member: str) -> None:
        bomb = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
        assert "entities" in str(refusal(repacked(docx("x"), **{member: bomb}), "a.docx"))

    def test_a_password_protected_or_legacy_file_is_refused(self) -> None:
        ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
        assert "legacy" in str(refusal(ole, "a.doc"))
        assert "encrypted" in str(refusal(ole + "EncryptedPackage".encode("utf-16-le"), "a.docx"))

    @pytest.mark.parametrize(("suffix", "member"), [("xlsx", "xl__workbook_xml"), ("pptx", "ppt__presentation_xml")])
    def test_a_missing_converter_is_named(self, suffix: str, member: str) -> None:
        pytest.importorskip("markitdown")
        if (suffix == "xlsx" and _installed("pandas", "openpyxl")) or (suffix == "pptx" and _installed("pptx")):
            pytest.skip("the office extra is installed")
        empty = BytesIO()
        zipfile.ZipFile(empty, "w").close()
        error = refusal(repacked(empty.getvalue(), **{member: b"<x/>"}), f"a.{suffix}")
        assert "pip install 'memlake[office]'" in error.remedy

    def test_a_book_is_read_in_the_order_of_its_spine(self) -> None:
        found = read(epub(), "book.epub")
        assert (found.title, found.author, found.date) == ("Fables", "Aesop", date(2001, 2, 3))
        assert found.text.index("The Fox") < found.text.index("The Crow")

    def test_an_archive_is_not_a_document(self) -> None:
        stream = BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a.txt", "text")
        assert "archive" in str(refusal(stream.getvalue(), "a.zip"))


def _installed(*modules: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) for module in modules)


def epub() -> bytes:
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="content.opf"/></rootfiles></container>'
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>Fables</dc:title><dc:creator>Aesop</dc:creator><dc:date>2001-02-03</dc:date></metadata>"
        '<manifest><item id="b" href="b.xhtml"/><item id="a" href="a.xhtml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("content.opf", package)
        archive.writestr("a.xhtml", "<html><body><h1>The Fox</h1></body></html>")
        archive.writestr("b.xhtml", "<html><body><h1>The Crow</h1></body></html>")
    return stream.getvalue()


class TestRefusals:
    @pytest.mark.parametrize("suffix", ["md", "txt", "html", "csv", "pdf", "docx"])
    def test_an_empty_document_is_refused(self, suffix: str) -> None:
        refusal(b"", f"a.{suffix}")
        refusal(b" \n\t", f"a.{suffix}")

    @pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n....", b"GIF89a...", b"\x1f\x8b\x08\0", bytes(range(256))])
    def test_binary_data_is_refused_whatever_its_name(self, data: bytes) -> None:
        assert "binary" in str(refusal(data, "a.md"))

    def test_rich_text_is_refused(self) -> None:
        assert "DOCX" in refusal(rb"{\rtf1 hello}", "a.txt").remedy

    def test_an_oversized_document_is_refused(self) -> None:
        assert "max_bytes" in refusal("x" * 11, "a.md", ParseLimits(max_bytes=10)).remedy
        assert "max_chars" in refusal("x" * 11, "a.md", ParseLimits(max_chars=10)).remedy


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2021-05-04T23:59:59+02:00", date(2021, 5, 4)),
        ("20210504", date(2021, 5, 4)),
        ("D:20210504120000+02'00'", date(2021, 5, 4)),
        ("1:56 pm on 8 May, 2023", date(2023, 5, 8)),
        ("2023/05/20 (Sat) 02:21", date(2023, 5, 20)),
        ("Mon, 3 May 2021 10:00:00 GMT", date(2021, 5, 3)),
        (1612130000, date(2021, 1, 31)),
        ("1612130000", date(2021, 1, 31)),
        (1612130000123, date(2021, 1, 31)),
        (datetime(2021, 5, 4, 23), date(2021, 5, 4)),
        ("May 2021", None),
        ("2021", None),
        (2021, None),
        ("2021-02-30", None),
        ("tomorrow", None),
        ("", None),
        (True, None),
        (float("nan"), None),
        (None, None),
        ({"a": 1}, None),
        ("9" * 5000, None),
    ],
)
def test_a_date_is_read_whole_or_not_at_all(value: object, expected: date | None) -> None:
    assert parse_date(value) == expected


EXTENSIONS = ["md", "txt", "html", "pdf", "docx", "epub", "json", "doc", "png", ""]
STARTS = [b"", b"%PDF-1.4\n", b"PK\x03\x04", b"---\na: ", b"<html>", b"\xff\xfe", b"<![", b"{\\rtf", b"\xef\xbb\xbf"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("extension", EXTENSIONS)
@given(start=st.sampled_from(STARTS), data=st.binary(max_size=200))
def test_any_bytes_give_a_text_or_a_refusal(extension: str, start: bytes, data: bytes) -> None:
    path = f"a.{extension}"
    try:
        found = parse(start + data, path, LIMITS)
    except MemlakeError:
        return
    assert found == parse(start + data, path, LIMITS), "the same bytes give the same text"
    assert found.text.strip()
    assert found.title
    assert not set("\0\r") & set(found.text)
    f"{found.text}{found.title}{found.author}".encode()


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=300))
def test_any_html_and_markdown_gives_a_text_or_a_refusal(text: str) -> None:
    for path in ("a.md", "a.html"):
        try:
            parse(text.encode("utf-8", errors="surrogatepass"), path, LIMITS)
        except MemlakeError:
            continue


@pytest.mark.parametrize("seed", range(20))
def test_a_pdf_or_docx_with_a_few_wrong_bytes_gives_a_text_or_a_refusal(seed: int) -> None:
    import random

    chance = random.Random(seed)
    for path, original in (("a.pdf", pdf("some text", "more")), ("a.docx", SAMPLE_DOCX)):
        data = bytearray(original)
        for _ in range(10):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            parse(bytes(data), path, LIMITS)
        except MemlakeError:
            continue


SAMPLE_DOCX = docx("some text", heading="Head")


def test_importing_the_parsers_loads_no_library() -> None:
    heavy = "('bs4', 'pypdf', 'markitdown', 'yaml', 'lxml', 'dateutil', 'charset_normalizer')"
    code = f"import sys, memory.parsing; print(*[name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
