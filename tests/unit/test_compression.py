"""How a batch is packed: small bodies stay small, and one frame is one body."""

from __future__ import annotations

import gzip
import hashlib
import zlib

import pytest
import zstandard

from kiosk.records import Stream
from sync import batch_dictionary
from sync.batch import MAX_COMPRESSED_BYTES, build
from sync.batch_parse import parse
from sync.compression import ENCODINGS, compress, decompress, encoding_of
from sync.errors import WireError
from tests.sync_kit import ChainJournal, header_of


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("zstd", zstandard.ZstdCompressor(level=19).compress(bytes(200_000_000))),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(50_000_000))),
        (batch_dictionary.ENCODING, compress(bytes(200_000_000), batch_dictionary.ENCODING)),
        ("gzip", gzip.compress(bytes(200_000_000), 9)),
        ("gzip", gzip.compress(gzip.compress(bytes(50_000_000), 9), 9)[:-1]),
    ],
    ids=["zstd 200 MB", "zstd of unknown size", "zstd with the dictionary 200 MB", "gzip 200 MB", "gzip cut"],
)
def test_decompression_bombs_stay_small(encoding: str, bomb: bytes) -> None:
    """A small body that would unpack to hundreds of megabytes is refused before it does."""
    assert len(bomb) < MAX_COMPRESSED_BYTES
    with pytest.raises(WireError):
        decompress(bomb, encoding)


def test_a_lying_size_is_found() -> None:
    """A zstd frame that declares less than it holds is damaged, not believed."""
    packed = bytearray(zstandard.ZstdCompressor().compress(b"x" * 300))
    place = packed.index((300 - 256).to_bytes(2, "little"))
    packed[place : place + 2] = (299 - 256).to_bytes(2, "little")
    with pytest.raises(WireError):
        decompress(bytes(packed), "zstd")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_after_the_end_are_refused(encoding: str) -> None:
    """One frame and nothing else: trailing bytes would be signed but never looked at."""
    with pytest.raises(WireError, match="further bytes"):
        decompress(compress(b"{}", encoding) + b"x", encoding)


def test_an_unknown_encoding_is_named() -> None:
    """Deflate, brotli and friends are answered with 415."""
    with pytest.raises(WireError) as caught:
        decompress(zlib.compress(b"{}"), "deflate")
    assert caught.value.status == 415


def test_the_dictionary_is_the_one_that_was_shipped() -> None:
    """Another text under the same name would leave what kiosks in the field send unreadable: this one never changes."""
    assert hashlib.sha256(batch_dictionary.TEXT.encode("ascii")).hexdigest() == batch_dictionary.SHA256
    assert batch_dictionary.SHA256 == "cea7e38d9bae98582848326fec090b82e4174964b99abae0758e2b984ec32294"


def test_the_dictionary_spares_a_small_batch_its_vocabulary_and_a_large_one_does_without() -> None:
    """Twenty records take a third less; what is packed with it opens with it alone; a large body goes as plain zstd."""
    journal = ChainJournal()
    for _ in range(20):
        journal.append(Stream.PASSAGE)
    part = journal.slice(journal.incarnation, Stream.PASSAGE, 0, max_records=20, max_bytes=2**30)
    body = build(header_of(part), part.records)
    packed = compress(body, batch_dictionary.ENCODING)
    assert len(packed) < 0.75 * len(compress(body, "zstd"))
    assert parse(packed, batch_dictionary.ENCODING).header == header_of(part)
    with pytest.raises(WireError):
        parse(packed, "zstd")
    assert encoding_of(body, batch_dictionary.ENCODING) == batch_dictionary.ENCODING
    assert encoding_of(bytes(100_000), batch_dictionary.ENCODING) == "zstd"
    assert encoding_of(bytes(100_000), "gzip") == "gzip"
