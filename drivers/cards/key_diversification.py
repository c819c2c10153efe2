"""AES-CMAC, and the derivation of each card's own key from a master key.

References: RFC 4493 (AES-CMAC); NXP AN10922 "Symmetric key diversifications", rev 2.2, sections 2.2 to 2.4.

AN10922 pads constant and input to 32 bytes always. For inputs of up to 15 bytes that is not the CMAC of constant and
input, which pads to 16: implementations that take the short cut make other keys.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK = 16
MAX_INPUT = 31
_CONSTANTS = {16: (0x01,), 24: (0x11, 0x12), 32: (0x41, 0x42)}


def aes_cmac(key: bytes, message: bytes) -> bytes:
    """The 16-byte CMAC of a message under a key of 16, 24 or 32 bytes."""
    cmac = CMAC(algorithms.AES(key))
    cmac.update(message)
    return cmac.finalize()


def aes_cbc_encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-CBC without padding; ``data`` is whole blocks."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def aes_cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """The reverse of :func:`aes_cbc_encrypt`."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def aes_ecb(key: bytes, block: bytes) -> bytes:
    """One block under the bare cipher."""
    return aes_cbc_encrypt(key, bytes(BLOCK), block)


def diversify(master_key: bytes, div_input: bytes) -> bytes:
    """The card's key: as long as the master key (16, 24 or 32 bytes), from an input of 1 to 31 bytes.

    Raises ValueError for another length.
    """
    if len(master_key) not in _CONSTANTS:
        raise ValueError(f"master key of {len(master_key)} bytes: expected 16, 24 or 32")
    if not 1 <= len(div_input) <= MAX_INPUT:
        raise ValueError(f"diversification input of {len(div_input)} bytes: expected 1 to {MAX_INPUT}")
    parts = [
        _cmac_of_two_blocks(master_key, bytes((constant,)) + div_input) for constant in _CONSTANTS[len(master_key)]
    ]
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    if len(master_key) == 32:
        return first + second
    middle = bytes(a ^ b for a, b in zip(first[8:], second[:8], strict=True))
    return first[:8] + middle + second[8:]


def _cmac_of_two_blocks(key: bytes, message: bytes) -> bytes:
    """CMAC as AN10922 has it: padded to two blocks even where one would do."""
    sub_key = _doubled(aes_ecb(key, bytes(BLOCK)))
    if len(message) < 2 * BLOCK:
        sub_key = _doubled(sub_key)
        message = (message + b"\x80").ljust(2 * BLOCK, b"\x00")
    last = bytes(a ^ b for a, b in zip(message[BLOCK:], sub_key, strict=True))
    return aes_cbc_encrypt(key, bytes(BLOCK), message[:BLOCK] + last)[BLOCK:]


def _doubled(block: bytes) -> bytes:
    """Multiplication by x in GF(2^128) (RFC 4493, 2.3)."""
    number = int.from_bytes(block) << 1
    if number >> 128:
        number = (number & ((1 << 128) - 1)) ^ 0x87
    return number.to_bytes(BLOCK)
