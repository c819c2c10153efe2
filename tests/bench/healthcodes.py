"""Health codes: right or wrong, how fast, how much memory, beside the bare signature check of the same codes.

    python -m tests.bench.healthcodes --data DIR

``DIR`` is a folder in the layout of the shared health-code data (``manifest.jsonl``, ``trust/``), or its parent. Each
case runs three times and the quickest counts, so that other work on the machine weighs little; medians are over valid
cases, the slowest refusal over invalid ones. "bare" is ``cryptography``'s verification of the very same signatures,
nothing else, in the same run.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kiosk.credentials import CodeState, TrustStore, hcert, jcs, shc, verify_health_code
from kiosk.credentials.certificate import read_certificate
from kiosk.credentials.signing_key import Algorithm, SigningKey

ROUNDS = 3
_ECDSA = ec.ECDSA(hashes.SHA256())
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


@dataclass
class Row:
    """One line of the table."""

    cases: int = 0
    expected: int = 0
    false_accepts: list[str] = field(default_factory=list)
    false_rejects: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    valid_ms: list[float] = field(default_factory=list)
    refusal_ms: list[float] = field(default_factory=list)
    bare_ms: list[float] = field(default_factory=list)


def _quickest_ms(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - started)
    return min(times) / 1e6


def _bare(key: SigningKey, signature: bytes, signed: bytes) -> Callable[[], Any]:
    public = key.public_key
    if isinstance(public, ec.EllipticCurvePublicKey):
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        return lambda: public.verify(der, signed, _ECDSA)
    return lambda: public.verify(signature, signed, _PSS, hashes.SHA256())


def _signature_of(code_format: str, text: str, store: TrustStore) -> tuple[SigningKey, bytes, bytes] | None:
    """Key, signature and signed bytes of a valid code."""
    if code_format == "hcert":
        envelope = hcert.open_envelope(text)
        keys = [signer.key for signer in store.hcert_signers[envelope.key_id or b""]]
        key = next(key for key in keys if key.verifies(envelope.signature, envelope.signed))
        return key, envelope.signature, envelope.signed
    if code_format == "shc":
        head, body, signature = shc.token_of(text).split(".")
        kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
        return store.shc_keys[kid][0].key, base64.urlsafe_b64decode(signature + "=="), f"{head}.{body}".encode()
    if code_format == "vdsnc":
        seal = json.loads(text)
        raw = {name: base64.urlsafe_b64decode(seal["sig"][name].rstrip("=") + "===") for name in ("cer", "sigvl")}
        return SigningKey.of(read_certificate(raw["cer"]).public_key), raw["sigvl"], jcs.canonical(seal["data"])
    return None


def measure(folder: Path) -> dict[str, Row]:
    """Every case of the folder's manifest, by format (HCERT apart by algorithm)."""
    if not (folder / "manifest.jsonl").is_file():
        folder = folder / "healthcodes"
    stores: dict[str, TrustStore] = {}
    rows: dict[str, Row] = {}
    with (folder / "manifest.jsonl").open("rb") as lines:
        for line in lines:
            case = json.loads(line)
            packed = case.get("qr_text_gz")
            text = gzip.decompress(base64.b64decode(packed)).decode("latin-1") if packed else case["qr_text"]
            if case["trust"] not in stores:
                stores[case["trust"]] = TrustStore.load(folder / case["trust"])
            _one(rows, case, text, stores[case["trust"]])
    return rows


def _one(rows: dict[str, Row], case: dict[str, Any], text: str, store: TrustStore) -> None:
    now = datetime.fromisoformat(case["now"])
    row = rows.setdefault(case["format"], Row())
    row.cases += 1
    try:
        valid = verify_health_code(text, store, now).state is CodeState.VALID
    except Exception as error:  # noqa: BLE001 — an exception is what this bench has to count
        row.exceptions.append(f"{case['id']} {error!r}")
        return
    wanted = case["expected"] == "valid"
    row.expected += valid == wanted
    if valid != wanted:
        (row.false_accepts if valid else row.false_rejects).append(case["id"])
    elapsed_ms = _quickest_ms(lambda: verify_health_code(text, store, now))
    if not valid:
        row.refusal_ms.append(elapsed_ms)
        return
    row.valid_ms.append(elapsed_ms)
    found = _signature_of(case["format"], text, store)
    if found is None:
        return
    key, signature, signed = found
    bare_ms = _quickest_ms(_bare(key, signature, signed))
    row.bare_ms.append(bare_ms)
    if case["format"] == "hcert":
        by_algorithm = rows.setdefault("  ES256" if key.algorithm is Algorithm.ES256 else "  PS256", Row())
        by_algorithm.cases += 1
        by_algorithm.expected += valid == wanted
        by_algorithm.valid_ms.append(elapsed_ms)
        by_algorithm.bare_ms.append(bare_ms)


def _figure(values: list[float], of: Callable[[list[float]], float]) -> str:
    return f"{of(values):8.3f}" if values else "       -"


def report(rows: dict[str, Row]) -> str:
    """The table."""
    head = "format    cases  as expected  false accept  false reject  exceptions"
    lines = [head + "  median ms   max ms  slowest refusal ms  bare ms  ratio"]
    for name, row in sorted(
        rows.items(), key=lambda item: (item[0].strip() not in rows or item[0] != "hcert", item[0])
    ):
        ratio = statistics.median(row.valid_ms) / statistics.median(row.bare_ms) if row.bare_ms else None
        lines.append(
            f"{name:<8}{row.cases:7}{row.expected:13}{len(row.false_accepts):14}{len(row.false_rejects):14}"
            f"{len(row.exceptions):12}   {_figure(row.valid_ms, statistics.median)} {_figure(row.valid_ms, max)}"
            f"            {_figure(row.refusal_ms, max)} {_figure(row.bare_ms, statistics.median)}"
            + (f"{ratio:7.2f}" if ratio is not None else "      -")
        )
    for name, row in rows.items():
        for what in ("false_accepts", "false_rejects", "exceptions"):
            if getattr(row, what):
                lines.append(f"{name} {what}: {', '.join(getattr(row, what))}")
    if "divoc" in rows:
        lines.append("divoc: refused on purpose, genuine ones too (docs/health-codes.md)")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines.append(f"peak memory of this process, interpreter and all trust folders included: {peak_mb:.0f} MB")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 when a code that had to be refused was accepted, or anything was raised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl, or its parent")
    rows = measure(parser.parse_args(arguments).data)
    print(report(rows))
    return int(any(row.false_accepts or row.exceptions for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
