"""The HTTP headers of a signed request: who sends it, which request it is, and its signatures in base64."""

from __future__ import annotations

KIOSK_HEADER = "Gatepost-Kiosk"
SIGNATURE_HEADER = "Gatepost-Signature"
HEAD_SIGNATURE_HEADER = "Gatepost-Head-Signature"
REQUEST_HEADER = "Gatepost-Request"
