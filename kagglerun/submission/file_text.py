"""Checks of a submission file's bytes: size, encoding, line ends, separator."""

from __future__ import annotations

import codecs
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kagglerun.data.streams import open_table
from kagglerun.submission.findings import Finding, Level, error, of_level, warning
from kagglerun.submission.sample_format import holds_text, separator_of

LARGE_BYTES = 100_000_000
"""Each competition sets a limit of its own, which the API does not tell; files beyond this have been refused."""

_BLOCK_BYTES = 1 << 20
_LONE_RETURN = re.compile(rb"\r(?!\n|\Z)")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass
class _Seen:
    """What a file's bytes hold."""

    start: bytes = b""
    size_bytes: int = 0
    header: bytes = b""
    no_utf8_in_line: int | None = None
    zero_in_line: int | None = None
    lines: int = 0
    lone_returns: int = 0
    decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def take(self, block: bytes) -> None:
        """Look at the next block."""
        if not self.size_bytes:
            self.start, self.header = block[:3], block.partition(b"\n")[0]
        if self.zero_in_line is None and b"\0" in block:
            self.zero_in_line = self.lines + 1 + block.count(b"\n", 0, block.index(b"\0"))
        if self.no_utf8_in_line is None:
            try:
                self.decoder.decode(block)
            except UnicodeDecodeError as problem:
                self.no_utf8_in_line = self.lines + 1 + block.count(b"\n", 0, problem.start)
        self.lone_returns += len(_LONE_RETURN.findall(block))
        self.lines += block.count(b"\n")
        self.size_bytes += len(block)


@dataclass(frozen=True)
class TextCheck:
    """What a look at a file's bytes showed.

    Attributes:
        findings: what was found.
        separator: the character between its columns; None for Parquet and JSON.
        readable: whether its table can be read, with that separator.
    """

    findings: tuple[Finding, ...]
    separator: str | None
    readable: bool


def check_text(path: Path, sample: Path) -> TextCheck:
    """Look at a text file's bytes; a Parquet or JSON file is only measured.

    Args:
        path: the submission file, packed or not.
        sample: the sample submission, whose separator the file must have.
    """
    if not holds_text(sample):
        return TextCheck(tuple(_too_large(path.stat().st_size, path)), None, True)
    try:
        seen = _look_at(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        return TextCheck((error(f"{path.name} cannot be unpacked: {problem}", "nobody could read it"),), None, False)
    wanted = separator_of(sample)
    found = _separator_in(seen.header, wanted)
    encoding = tuple(_encoding(seen))
    readable = not of_level(encoding, Level.ERROR)
    separator = _separator(found, wanted) if readable else ()
    return TextCheck((*_too_large(seen.size_bytes, path), *encoding, *_line_ends(seen), *separator), found, readable)


def _look_at(path: Path) -> _Seen:
    seen = _Seen()
    with open_table(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            seen.take(block)
    return seen


def _too_large(size_bytes: int, path: Path) -> Iterator[Finding]:
    if size_bytes > LARGE_BYTES:
        packed = path.suffix.lower() in (".zip", ".gz")
        yield warning(
            f"the file has {size_bytes / 1e6:.0f} MB" + (" when it is unpacked" if packed else ""),
            f"competitions limit the size; beyond {LARGE_BYTES // 10**6} MB an upload may be refused",
            None if packed else f"send fewer digits, or pack it: zip {path.name}.zip {path.name}",
        )


def _encoding(seen: _Seen) -> Iterator[Finding]:
    utf8 = 'write it with encoding="utf-8"'
    if seen.start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        yield error("it is written in UTF-16", "Kaggle reads UTF-8", utf8)
        return
    if seen.start == codecs.BOM_UTF8:
        yield warning(
            "it begins with a byte order mark (BOM)",
            "a reader that does not know the mark takes it for a part of the first column's name",
            f"{utf8}, not utf-8-sig",
        )
    if seen.zero_in_line is not None:
        yield error(f"line {seen.zero_in_line} holds a zero byte", "the file is damaged or is no text", utf8)
    if seen.no_utf8_in_line is not None:
        yield error(f"line {seen.no_utf8_in_line} holds bytes that are not UTF-8", "Kaggle reads UTF-8", utf8)


def _line_ends(seen: _Seen) -> Iterator[Finding]:
    if seen.lone_returns > seen.lines:
        yield warning(
            "its lines end with a carriage return alone",
            "some readers take such a file for one long line",
            'write it with lineterminator="\\n"',
        )


def _separator(found: str, wanted: str) -> Iterator[Finding]:
    if found != wanted:
        yield error(
            f"its columns are separated by {_SEPARATORS[found]}, those of the sample submission by "
            f"{_SEPARATORS.get(wanted, repr(wanted))}",
            "every line would be read as one cell",
            f'write it with sep={wanted!r} and decimal="."',
        )


def _separator_in(header: bytes, wanted: str) -> str:
    """The separator of a header; the wanted one where it holds it, or none at all."""
    text = header.decode("utf-8", "ignore")
    if wanted in text:
        return wanted
    return next((one for one in _SEPARATORS if one in text), wanted)
