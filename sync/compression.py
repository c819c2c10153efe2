"""How a batch is packed for the wire: zstd, with or without the dictionary that both sides know, or gzip. Pure.

Everything is bounded before it is touched: the size that the compressor declares and the size that really comes out.
"""

from __future__ import annotations

import gzip
import zlib

import zstandard

from sync import batch_dictionary
from sync.canonical_json import MAX_BODY_BYTES
from sync.errors import WireError

MAX_WINDOW_BYTES = 8 * 1024 * 1024
ENCODINGS = (batch_dictionary.ENCODING, "zstd", "gzip")
SMALL_BODY_BYTES = 64 * 1024


def encoding_of(body: bytes, wanted: str) -> str:
    """``wanted``, but no dictionary for a large body: it has learnt its words by itself, and the search costs more."""
    return "zstd" if wanted == batch_dictionary.ENCODING and len(body) > SMALL_BODY_BYTES else wanted


def compress(body: bytes, encoding: str) -> bytes:
    """``body`` compressed as one of ``ENCODINGS``; the same bytes give the same result."""
    if encoding == batch_dictionary.ENCODING:
        known = batch_dictionary.DICTIONARY
        return zstandard.ZstdCompressor(level=15, write_content_size=True, dict_data=known).compress(body)
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(body)
    if encoding == "gzip":
        return gzip.compress(body, compresslevel=6, mtime=0)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def decompress(packed: bytes, encoding: str, *, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """What ``compress`` packed; at most ``max_bytes`` ever come into memory.

    Raises WireError (413) when it is larger, (400) when it is damaged, cut or followed by further bytes.
    """
    if encoding == batch_dictionary.ENCODING:
        return _unzstd(packed, max_bytes, batch_dictionary.DICTIONARY)
    if encoding == "zstd":
        return _unzstd(packed, max_bytes, None)
    if encoding == "gzip":
        return _gunzip(packed, max_bytes)
    raise WireError("content encoding", status=415, seen=encoding[:40], expected=" or ".join(ENCODINGS))


def _unzstd(packed: bytes, max_bytes: int, known: zstandard.ZstdCompressionDict | None) -> bytes:
    try:
        declared = zstandard.get_frame_parameters(packed).content_size
        if declared == zstandard.CONTENTSIZE_UNKNOWN:
            raise WireError("zstd body", seen="no content size", expected="a frame that declares its content size")
        if declared > max_bytes:
            raise WireError("zstd body", status=413, seen=f"{declared} bytes", expected=f"at most {max_bytes}")
        # The decompressor stops at the declared size, so that the check above bounds the memory.
        unpacker = zstandard.ZstdDecompressor(dict_data=known, max_window_size=MAX_WINDOW_BYTES).decompressobj()
        body = unpacker.decompress(packed)
    except zstandard.ZstdError as error:
        raise WireError("zstd body", seen=str(error)[:120]) from error
    if not unpacker.eof or unpacker.unused_data or len(body) != declared:
        raise WireError("zstd body", seen="cut, or followed by further bytes", expected="one whole frame")
    return body


def _gunzip(packed: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise WireError("gzip body", seen=str(error)[:120]) from error
    if len(body) > max_bytes:
        raise WireError("gzip body", status=413, seen="more", expected=f"at most {max_bytes} bytes")
    if not unpacker.eof or unpacker.unused_data or unpacker.unconsumed_tail:
        raise WireError("gzip body", seen="cut, or followed by further bytes", expected="one whole member")
    return body
