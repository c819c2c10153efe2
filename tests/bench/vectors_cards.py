"""The card half of the vector runner: each file's cases against the shipped decoders and cryptography.

Streams are fed as written, byte by byte, and at cuts drawn by seed; the result must be the same each time. The
contract of the files is in ``tests/vectors/cards/README.md``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from config.number_form import NumberForm
from drivers.cards import (
    card_numbers,
    id_number_gb11643,
    keyboard_wedge,
    ntag424,
    ntag424_ev2,
    osdp_frames,
    pn532,
    pn532_commands,
    pn532_frames,
    rdm6300,
    sdt_idcard,
    serial_uid,
    wiegand,
)
from drivers.cards import ntag424_sdm as sdm
from drivers.cards.key_diversification import aes_cbc_decrypt, aes_cmac, diversify
from drivers.cards.ntag424 import CardKeys
from drivers.devices import CardTap, ProofOutcome, Send
from drivers.errors import DriverError
from kiosk.credentials.card_counter import AcceptedCode, conflicts, judge_counter, merged

Case = dict[str, Any]
Outcome = tuple[str, str | None]

CUTS = 24
GAP_MS = 100


def compared(seen: Any, wanted: Any, what: str = "") -> str | None:
    """None when equal, else what differs."""
    return None if seen == wanted else f"{what + ': ' if what else ''}got {seen!r}, expected {wanted!r}"


def first(*failures: str | None) -> str | None:
    """The first of several comparisons that failed."""
    return next((failure for failure in failures if failure), None)


def cuts_of(case: Case) -> Iterator[list[tuple[bytes, int]]]:
    """The case's bytes as (chunk, gap before it in ms): as written, byte by byte, and cut at random."""
    chunks = [bytes.fromhex(chunk) for chunk in case["chunks"]]
    gaps = case.get("gap_before_ms", [0] * len(chunks))
    yield list(zip(chunks, gaps, strict=True))
    rng = random.Random(case["id"])
    for attempt in range(CUTS):
        share = 1.0 if attempt == 0 else rng.random() ** 2
        pieces: list[tuple[bytes, int]] = []
        for chunk, gap in zip(chunks, gaps, strict=True):
            points = [0, *(at for at in range(1, len(chunk)) if rng.random() < share), len(chunk)]
            for index, (begin, end) in enumerate(itertools.pairwise(points)):
                pieces.append((chunk[begin:end], 0 if index else gap))
        yield pieces


def under_any_cut(case: Case, run: Callable[[list[tuple[bytes, int]]], str | None]) -> Outcome:
    """The first failure over all cuts."""
    for number, pieces in enumerate(cuts_of(case)):
        failure = run(pieces)
        if failure:
            return case["id"], f"cut {number}: {failure}"
    return case["id"], None


def fed(decoder: Any, pieces: list[tuple[bytes, int]]) -> list[Any]:
    """All events of a decoder, silences included, with times that follow the gaps."""
    events: list[Any] = []
    at_ns = 0
    for chunk, gap_ms in pieces:
        if gap_ms >= GAP_MS:
            events += decoder.silence(at_ns)
        at_ns += gap_ms * 1_000_000
        events += decoder.feed(chunk, at_ns)
    return events + decoder.silence(at_ns + GAP_MS * 1_000_000)


# --- PN532 ----------------------------------------------------------------------------------------------------


def _frame_words(event: pn532_frames.Frame) -> dict[str, str]:
    match event:
        case pn532_frames.Ack():
            return {"type": "ack"}
        case pn532_frames.Nack():
            return {"type": "nack"}
        case pn532_frames.ErrorFrame():
            return {"type": "error_frame"}
        case pn532_frames.Message(code=code, data=data):
            return {"type": "response", "code": f"{code:02X}", "data": data.hex().upper()}
        case pn532_frames.BadFrame(defect=defect):
            return {"bad": defect.value}


def _target_words(data: bytes) -> dict[str, Any]:
    targets = pn532_commands.parse_targets(data)
    words: dict[str, Any] = {"targets": len(targets)}
    for target in targets:
        words |= {"tg": target.tg, "atqa": f"{target.atqa:04X}", "sak": f"{target.sak:02X}"}
        words |= {"uid": target.uid.hex().upper(), "ats": target.ats.hex().upper()}
        words |= {"uid_kind": "random"} if target.random_uid else {}
    return words


def _pn532_stream(case: Case) -> Outcome:
    expect = case["expect"]

    def run(pieces: list[tuple[bytes, int]]) -> str | None:
        events = fed(pn532_frames.Decoder(), pieces)
        words = [_frame_words(event) for event in events]
        missing = set(expect["errors_at_least"]) - {word["bad"] for word in words if "bad" in word}
        lists = [event.data for event in events if isinstance(event, pn532_frames.Message) and event.code == 0x4B]
        return first(
            compared([word for word in words if "type" in word], expect["events"]),
            compared(missing, set(), "defects not named"),
            compared(_target_words(lists[-1]), expect["target"]) if "target" in expect else None,
        )

    return under_any_cut(case, run)


class RecordedReader:
    """Plays a recorded session to a conversation: each command must be the recorded one, byte for byte.

    What the recording leaves open is answered as the chip does: the firmware version, the limit of tries, the field;
    polls may ask for two targets.
    """

    def __init__(self, exchanges: list[Case]) -> None:
        self._exchanges = exchanges[1:]
        self._wake = bytes.fromhex(exchanges[0]["host_sends"])
        self._wake_answers = exchanges[0]["reader_answers"]
        self.failure: str | None = None

    @property
    def finished(self) -> bool:
        return not self._exchanges

    def answers(self, data: bytes) -> list[bytes]:
        """What the reader says to one write of the host."""
        usual = {
            pn532_commands.get_firmware_version(): (0x03, b"\x32\x01\x06\x07"),
            pn532_commands.field_off(): (0x33, b""),
            pn532_commands.limit_activation_tries(pn532.ACTIVATION_TRIES): (0x33, b""),
        }
        if data == self._wake:
            return [bytes.fromhex(answer) for answer in self._wake_answers]
        if data in usual:
            code, answer = usual[data]
            return [pn532_frames.ACK, pn532_frames.frame(bytes((pn532_frames.CHIP_TFI, code)) + answer)]
        if self.finished:
            return []
        wanted = bytes.fromhex(self._exchanges[0]["host_sends"])
        alone = pn532_commands.in_list_passive_target(1) if data == pn532_commands.in_list_passive_target(2) else data
        if alone != wanted:
            self.failure = f"sent {data.hex()}, the session has {wanted.hex()}"
            return []
        return [bytes.fromhex(answer) for answer in self._exchanges.pop(0)["reader_answers"]]


def _play(session: Case, dialogue: Callable[[CardTap], pn532.Dialogue | None]) -> tuple[CardTap | None, str | None]:
    """The tap that comes of a recorded session, or why none does."""
    reader = RecordedReader(list(session["exchanges"]))
    conversation = pn532.Pn532Conversation(dialogue)
    steps = conversation.begin(0)
    tap: CardTap | None = None
    for at_ns in range(1, 1000):
        writes = [step.data for step in steps if isinstance(step, Send)]
        tap = next((step for step in steps if isinstance(step, CardTap)), tap)
        if tap or reader.failure:
            break
        steps = []
        for data in writes:
            for answer in reader.answers(data):
                steps += conversation.receive(answer, at_ns)
        if not steps:  # the pause behind switching the field off, or a time-out
            steps = conversation.wake(conversation.wake_at_ns() or at_ns)
    unused = None if reader.finished else "the session was not played to its end"
    return tap, reader.failure or unused or (None if tap else "no tap")


_GENUINE = dict.fromkeys(("ok", "authenticated"), ProofOutcome.GENUINE)
"""The verdicts of recorded sessions; another one is a failure."""


def _pn532_session(session: Case) -> Outcome:
    expect = session["expect"]
    uid = bytes.fromhex(expect["uid"])
    if session["kind"] == "ev2_auth":
        key = bytes.fromhex(session["card_key"])
        site = bytes.fromhex(expect["uid"]) + b"AUSITE01"
        rnd_a = bytes.fromhex(session["rnd_a_forced"])
        keys = CardKeys(gate_key=key, file_key=bytes(16))
        tap, failure = _play(session, ntag424.ev2_dialogue(lambda each: keys if each == uid else None, lambda _: rnd_a))
        derived = diversify(bytes.fromhex(session["card_master"]), site)
        return session["id"], failure or first(
            compared(derived, key, "card key"),
            compared(tap and tap.proof and tap.proof.outcome, _GENUINE.get(expect["verdict"]), "verdict"),
            compared(tap and tap.uid, uid),
            _session_of(session, key, rnd_a),
        )
    keys = CardKeys(gate_key=bytes(16), file_key=bytes.fromhex(session["k_sdm_file_read"]))
    meta = bytes.fromhex(session["k_sdm_meta_read"])
    first_bytes = 0 if "one_read" in session["kind"] else 2
    tap, failure = _play(
        session,
        lambda tap: ntag424.prove_sun(
            tap.uid, meta, lambda each: keys if each == uid else None, first_bytes=first_bytes
        ),
    )
    proof = tap.proof if tap and tap.proof else None
    return session["id"], failure or first(
        compared(proof and proof.outcome, _GENUINE.get(expect["verdict"]), "verdict"),
        compared(proof and proof.read_ctr, expect["read_ctr"], "counter"),
        compared(tap and tap.uid, uid),
        _text_of(session, first_bytes),
    )


def _session_of(session: Case, key: bytes, rnd_a: bytes) -> str | None:
    """The same recording again: the keys and the identifier of the session that the two ends agree on."""
    agreed: list[str] = []

    def dialogue() -> pn532.Dialogue:
        yield from ntag424.select_application()
        number = session.get("key_no", ntag424.GATE_KEY_NO)
        found = yield from ntag424_ev2.authenticate_ev2_first(key, number, lambda _: rnd_a)
        agreed.extend(each.hex().upper() for each in (found.ti, found.k_enc, found.k_mac))
        return None

    _play(session, lambda _: dialogue())
    return compared(agreed, [session[name] for name in ("ti", "k_ses_auth_enc", "k_ses_auth_mac")], "session")


def _text_of(session: Case, first_bytes: int) -> str | None:
    """The same recording again: the address that the card shows."""
    read: list[str | None] = []

    def dialogue() -> pn532.Dialogue:
        yield from ntag424.select_application()
        message = yield from ntag424.read_ndef(first_bytes)
        read.append(ntag424.uri_of(message))
        return None

    _play(session, lambda _: dialogue())
    return compared(read, [session["expect"]["url"]], "address")


def pn532_hsu(contents: Case) -> Iterator[Outcome]:
    """Commands, streams, sessions."""
    for case in contents.get("commands", []):
        built = pn532_commands.command(int(case["command"], 16), bytes.fromhex(case["params"]))
        yield case["id"], compared(built.hex().upper(), case["frame"])
    for case in contents.get("streams", []):
        yield _pn532_stream(case)
    for case in contents.get("sessions", []):
        yield _pn532_session(case)


# --- NTAG 424 DNA ---------------------------------------------------------------------------------------------


def _sdm_case(case: Case) -> str | None:
    file_key = bytes.fromhex(case["k_sdm_file_read"])
    picc = sdm.PiccData(bytes.fromhex(case["uid"]), case["read_ctr"])
    failures: list[str | None] = []

    def check(name: str, seen: bytes) -> None:
        if name in case:
            failures.append(compared(seen.hex().upper(), case[name], name))

    check("k_ses_enc", sdm.session_enc_key(file_key, picc))
    check("k_ses_mac", sdm.session_mac_key(file_key, picc))
    if "mac_input_ascii" in case:
        mac_input = case["mac_input_ascii"].encode("ascii")
        check("cmac_full", aes_cmac(sdm.session_mac_key(file_key, picc), mac_input))
        right = sdm.mac_is_right(file_key, picc, bytes.fromhex(case["sdmmac"]), mac_input)
        verdict = "ok" if right else "bad_mac"
        if case.get("k_sdm_meta_read"):
            found = sdm.decrypt_picc_data(bytes.fromhex(case["k_sdm_meta_read"]), bytes.fromhex(case["picc_data_enc"]))
            verdict = "bad_picc_data" if found is None else verdict
            failures.append(compared(found, picc, "PICCData") if found is not None else None)
            meta_key, hidden = (bytes.fromhex(case[name]) for name in ("k_sdm_meta_read", "picc_data_enc"))
            check("picc_data_plain", aes_cbc_decrypt(meta_key, bytes(16), hidden))
        failures.append(compared(verdict, case["expect"]))
    if "enc_file_data" in case:
        check("file_data_plain", sdm.decrypt_file_data(file_key, picc, bytes.fromhex(case["enc_file_data"])))
    return first(*failures)


def ntag424_sdm(contents: Case) -> Iterator[Outcome]:
    """Session keys, PICCData, MAC and file data of the rolling code."""
    for case in contents.get("cases", []):
        yield case["id"], _sdm_case(case)


def key_diversification(contents: Case) -> Iterator[Outcome]:
    """AES-CMAC and AN10922."""
    for case in contents.get("aes_cmac", []):
        cmac = aes_cmac(bytes.fromhex(case["key"]), bytes.fromhex(case["message"]))
        yield case["id"], compared(cmac.hex().upper(), case["cmac"])
    for case in contents.get("an10922", []):
        key = diversify(bytes.fromhex(case["master_key"]), bytes.fromhex(case["div_input"]))
        differs = case["plain_cmac_would_give"] != case["diversified_key"] if "plain_cmac_would_give" in case else None
        yield (
            case["id"],
            first(
                compared(key.hex().upper(), case["diversified_key"]),
                compared(8 * len(key), case["bits"], "bits") if "bits" in case else None,
                compared(differs, case["differs_from_plain_cmac"], "differs") if differs is not None else None,
            ),
        )


def _ev2_case(case: Case) -> str | None:
    exchange = ntag424_ev2.authenticate_ev2_first(
        bytes.fromhex(case["key"]), case["key_no"], lambda _: bytes.fromhex(case["rnd_a"])
    )
    try:
        sent = [next(exchange), exchange.send(bytes.fromhex(case["r_apdu_1"]))]
    except (DriverError, StopIteration) as error:
        return f"ended early: {error!r}"
    failure = compared([apdu.hex().upper() for apdu in sent], [case["c_apdu_1"], case["c_apdu_2"]])
    try:
        exchange.send(bytes.fromhex(case["r_apdu_2"]))
    except ntag424_ev2.WrongKeyError:
        return failure or compared("fail", case["expect"])
    except StopIteration as end:
        session = end.value
        return failure or first(
            compared("ok", case["expect"]),
            compared(session.ti.hex().upper(), case["ti"]),
            compared(session.k_enc.hex().upper(), case["k_ses_auth_enc"]),
            compared(session.k_mac.hex().upper(), case["k_ses_auth_mac"]),
        )
    return "the exchange goes on after its last answer"


def _message_case(case: Case, *, full: bool) -> str | None:
    session = ntag424_ev2.Ev2Session(
        bytes.fromhex(case["ti"]),
        bytes.fromhex(case.get("k_ses_auth_enc", "00" * 16)),
        bytes.fromhex(case["k_ses_auth_mac"]),
        case["cmd_ctr"],
    )
    plain = bytes.fromhex(case["plain_apdu"])
    data = plain[5 : 5 + plain[4]]
    apdu = session.command(plain[1], data if not full else b"", data if full else b"", full=full)
    failure = compared(apdu.hex().upper(), case["full_apdu" if full else "mac_apdu"])
    if failure or "response" not in case:
        return failure
    answer = session.answer(bytes.fromhex(case["response"]), full=full)
    return compared(answer.hex().upper(), case["plain_response"])


def ntag424_ev2_auth(contents: Case) -> Iterator[Outcome]:
    """Authentication, secure messaging, originality signature."""
    for case in contents.get("cases", []):
        yield case["id"], _ev2_case(case)
    for case in contents.get("comm_mac", []):
        yield case["id"], _message_case(case, full=False)
    for case in contents.get("comm_full", []):
        yield case["id"], _message_case(case, full=True)
    for case in contents.get("originality_signature", []):
        genuine = ntag424.is_genuine_nxp(*(bytes.fromhex(case[name]) for name in ("uid", "signature_rs", "public_key")))
        yield case["id"], compared("genuine" if genuine else "not_genuine", case["expect"])


def sun_counter_policy(contents: Case) -> Iterator[Outcome]:
    """Taps in order at two kiosks, with their registers and what the sync finds."""
    scenario = contents.get("scenario")
    if scenario is None:
        return
    meta = bytes.fromhex(scenario["k_sdm_meta_read"])
    cards = {bytes.fromhex(card["uid"]): card for card in scenario["register"]}
    derivation = scenario["derivation"]
    master = bytes.fromhex(derivation["site_master"])
    yield "meta key", compared(diversify(master, b"METASITE01"), meta)
    for uid, card in cards.items():
        file_key = diversify(bytes.fromhex(derivation["card_master"]), uid + b"FRSITE01")
        yield f"file key {uid.hex()}", compared(file_key.hex().upper(), card["k_sdm_file_read"])

    def keys_of(uid: bytes) -> CardKeys | None:
        card = cards.get(uid)
        return card and CardKeys(gate_key=bytes(16), file_key=bytes.fromhex(card["k_sdm_file_read"]))

    accepted: dict[str, dict[bytes, int]] = {}
    codes: list[AcceptedCode] = []
    for tap in scenario["taps"]:
        case = f"tap {tap['n']}"
        if "sync" in tap:
            both = merged(accepted[kiosk] for kiosk in tap["sync"])
            accepted |= {kiosk: dict(both) for kiosk in tap["sync"]}
            yield case, compared("conflict" if conflicts(codes) else "ok", tap["expect"])
            continue
        register = accepted.setdefault(tap["kiosk"], {})
        proof = ntag424.judge_sun_text(tap["url"], meta, keys_of)
        parts = sdm.parse_sun_text(tap["url"])
        picc = sdm.decrypt_picc_data(meta, parts.picc_data) if parts else None
        verdict, flag = proof.outcome.value, None
        if proof.outcome is ProofOutcome.GENUINE and picc and proof.read_ctr is not None:
            judged = judge_counter(proof.read_ctr, register.get(picc.uid, 0))
            verdict = "ok" if judged.accepted else "replay"
            if cards[picc.uid]["status"] == "revoked":
                verdict = "revoked"
            elif judged.accepted:
                flag = judged.flag
                register[picc.uid] = proof.read_ctr
                codes.append(AcceptedCode(card=picc.uid, kiosk=tap["kiosk"], read_ctr=proof.read_ctr, at_us=tap["n"]))
        yield (
            case,
            first(
                compared(verdict, tap["expect"]),
                compared(flag and flag.value, tap.get("flag"), "flag"),
                compared(picc and picc.uid.hex().upper(), tap["uid"], "uid") if "uid" in tap else None,
                compared(proof.read_ctr, tap["ctr"], "counter") if "ctr" in tap else None,
            ),
        )


# --- other readers --------------------------------------------------------------------------------------------


def _rdm6300_words(event: rdm6300.Tag) -> dict[str, Any]:
    number = int.from_bytes(event.number)
    return {
        "raw": f"{event.version:02X}{number:08X}",
        "version": f"{event.version:02X}",
        "number": number,
        "printed_10": f"{number:010d}",
        "wg26": f"{event.number[1]:03d},{int.from_bytes(event.number[2:]):05d}",
    }


def _rdm6300_stream(case: Case) -> Outcome:
    expect = case["expect"]

    def run(pieces: list[tuple[bytes, int]]) -> str | None:
        events = fed(rdm6300.Decoder(), pieces)
        defects = {event.defect.value for event in events if isinstance(event, rdm6300.BadFrame)}
        conversation = rdm6300.Rdm6300Conversation()
        conversation.begin(0)
        at_ns, taps = 0, 0
        for chunk, gap_ms in pieces:
            at_ns += gap_ms * 1_000_000
            taps += len(conversation.receive(chunk, at_ns))
        return first(
            compared([_rdm6300_words(event) for event in events if isinstance(event, rdm6300.Tag)], expect["frames"]),
            compared(set(expect["errors_at_least"]) - defects, set(), "defects not named"),
            compared(taps, expect["presentations"], "presentations") if "presentations" in expect else None,
        )

    return under_any_cut(case, run)


def rdm6300_streams(contents: Case) -> Iterator[Outcome]:
    """Frames and presentations of 125 kHz readers."""
    for case in contents.get("streams", []):
        yield _rdm6300_stream(case)


def _wiegand_case(case: Case) -> str | None:
    stream = case["stream"]
    decoded = wiegand.decode(stream)
    failures = [compared(decoded is not None, case["valid"], "valid")]
    if "value" in case:
        failures.append(compared(decoded.value if isinstance(decoded, wiegand.WiegandCard) else None, case["value"]))
    if "key" in case:
        failures.append(compared(decoded, wiegand.WiegandKey(case["key"])))
    if case.get("value") is not None:
        failures.append(compared(wiegand.encode(case["value"], case["bits"]), stream, "encoded"))
    if "osdp_raw" in case:
        raw = bytes.fromhex(case["osdp_raw"])
        failures.append(compared(wiegand.bits_of_packed(raw, case["bits"]), stream, "unpacked"))
        failures.append(compared(wiegand.packed(stream), raw, "packed"))
    return first(*failures)


FORMS = {
    "uid_hex": NumberForm.HEX,
    "uid_hex_reversed": NumberForm.HEX_REVERSED,
    "decimal10": NumberForm.DEC10,
    "decimal10_reversed": NumberForm.DEC10_REVERSED,
    "wg26_3d5d": NumberForm.WG26,
    "wg26_3d5d_reversed": NumberForm.WG26_REVERSED,
    "wg26_bits": NumberForm.WG26_BITS,
    "wg34_bits": NumberForm.WG34_BITS,
    "wg34_bits_reversed": NumberForm.WG34_BITS_REVERSED,
}


def _found(form: str, text: str, uids: list[bytes]) -> str:
    number = card_numbers.parse(FORMS[form], text)
    try:
        uid = card_numbers.find(number, uids) if number else None
    except card_numbers.AmbiguousError:
        return "ambiguous"
    return uid.hex().upper() if uid else "unknown"


def wiegand_and_card_numbers(contents: Case) -> Iterator[Outcome]:
    """Bit streams; each written form of a number finds its card among all cards of the file."""
    for case in contents.get("wiegand", []):
        yield f"wiegand {case['stream']}", _wiegand_case(case)
    rows = contents.get("forms", [])
    uids = [bytes.fromhex(row["uid_hex"]) for row in rows]
    for row in rows:
        for form, text in row.items():
            found = _found(form, text, uids) if form in FORMS else "a form that no parser knows"
            yield f"{row['uid_hex']} as {form}", compared(found, row["uid_hex"])
    for case in contents.get("ambiguous", []):
        cards = [bytes.fromhex(card) for card in case["cards"]]
        yield (
            "ambiguous " + case["read"]["value"],
            compared(_found(case["read"]["form"], case["read"]["value"], cards), case["expect"]),
        )


def _serial_case(case: Case) -> Outcome:
    def run(pieces: list[tuple[bytes, int]]) -> str | None:
        numbers = fed(serial_uid.Decoder(NumberForm(case["format"])), pieces)
        return compared([number.known.hex().upper() for number in numbers], case["expect"])

    return under_any_cut(case, run)


def _wedge_case(case: Case) -> str | None:
    decoders: dict[str, keyboard_wedge.Decoder] = {}
    texts: dict[str, list[str]] = {}
    for at_ms, device, code, value in case["events"]:
        text = decoders.setdefault(device, keyboard_wedge.Decoder()).key(code, value, at_ms * 1_000_000)
        texts.setdefault(device, []).extend([text] if text else [])
    expect = case["expect"]
    return compared(texts if isinstance(expect, dict) else [text for each in texts.values() for text in each], expect)


def serial_uid_and_wedge(contents: Case) -> Iterator[Outcome]:
    """Lines of serial readers, key events of keyboard readers."""
    for case in contents.get("serial", []):
        yield _serial_case(case)
    for case in contents.get("wedge", []):
        yield case["id"], _wedge_case(case)


# --- ID cards -------------------------------------------------------------------------------------------------


def _sdt_stream(case: Case) -> Outcome:
    expect = case["expect"]

    def run(pieces: list[tuple[bytes, int]]) -> str | None:
        events = fed(sdt_idcard.Decoder(), pieces)
        answers = [event for event in events if isinstance(event, sdt_idcard.Answer)]
        frames = [{"sw": answer.status.hex().upper(), "data_len": len(answer.data)} for answer in answers]
        defects = {event.defect.value for event in events if isinstance(event, sdt_idcard.BadFrame)}
        identity = None
        if "identity" in expect:
            read = next(answer for answer in answers if len(answer.data) > sdt_idcard.TEXT_BYTES)
            whole = sdt_idcard.parse_identity(read.data, keep_all=True)
            kept = sdt_idcard.parse_identity(read.data)
            identity = first(
                compared(whole, expect["identity"]),
                compared({"nation", "nation_name", "address"} & set(kept), set(), "kept by default"),
            )
        return first(
            compared(frames, expect["frames"]),
            compared(set(expect["errors_at_least"]) - defects, set(), "defects not named"),
            identity,
        )

    return under_any_cut(case, run)


def sdt_idcard_streams(contents: Case) -> Iterator[Outcome]:
    """Commands of the ID-card module, its answers, the text of the card."""
    for case in contents.get("commands", []):
        built = sdt_idcard.command(bytes.fromhex(case["payload"]))
        yield case["id"], compared(built.hex().upper(), case["frame"])
    for case in contents.get("streams", []):
        yield _sdt_stream(case)


def gb11643(contents: Case) -> Iterator[Outcome]:
    """Identification numbers."""
    for case in contents.get("cases", []):
        number = id_number_gb11643.normalised(case["number"])
        failures = [compared(number is not None, case["valid"])]
        if number is not None:
            failures += [
                compared(number, case["normalised"]) if "normalised" in case else None,
                compared(id_number_gb11643.birth_of(number), case["birth"]) if "birth" in case else None,
                compared(id_number_gb11643.sex_of(number), case["sex"]) if "sex" in case else None,
            ]
        yield case["number"] or "empty", first(*failures)


# --- OSDP -----------------------------------------------------------------------------------------------------


def _osdp_words(packet: osdp_frames.Packet, plain: bytes) -> dict[str, Any]:
    return {
        "addr": packet.address,
        "reply": packet.reply,
        "seq": packet.sequence,
        "code": f"{packet.code:02X}",
        "scb": packet.scb.hex().upper() or None,
        "plain": plain.hex().upper(),
    }


def _osdp_session(session: Case) -> Iterator[Outcome]:
    """Decode every message; follow the Secure Channel; build every message anew and compare its bytes."""
    decoder = osdp_frames.Decoder()
    channel: osdp_frames.SecureChannel | None = None
    rebuilt: osdp_frames.SecureChannel | None = None
    scbk = bytes.fromhex(session["scbk"]) if session["scbk"] else b""
    rnd_a = b""
    for number, message in enumerate(session["messages"]):
        case = f"{session['id']} message {number}"
        frame = bytes.fromhex(message["frame"])
        packets = decoder.feed(frame, 0)
        if len(packets) != 1:
            yield case, f"{len(packets)} packets"
            return
        (packet,) = packets
        failures: list[str | None] = []
        plain = packet.data
        if packet.scb[1:2] == b"\x11":
            rnd_a = packet.data
        elif packet.scb[1:2] == b"\x12":
            channel, rebuilt = (osdp_frames.SecureChannel(scbk, rnd_a, packet.data[8:16]) for _ in range(2))
            keys = {name: getattr(channel, name).hex() for name in ("s_enc", "s_mac1", "s_mac2")}
            right = channel.client_cryptogram == packet.data[16:]
            failures += [
                compared(keys, session["session_keys"], "keys"),
                compared(right, message["client_cryptogram_ok"], "client cryptogram"),
            ]
        elif packet.scb[1:2] == b"\x13" and channel:
            failures.append(compared(packet.data, channel.server_cryptogram, "server cryptogram"))
        elif packet.scb[1:2] == b"\x14" and channel:
            failures.append(compared(packet.data, channel.r_mac, "first R-MAC"))
        elif packet.secured and channel and rebuilt:
            right = True
            try:
                plain = channel.open(packet)
            except DriverError:
                right = False
            failures.append(compared(right, message.get("mac_ok", True), "MAC"))
            built = rebuilt.seal(replace(packet, data=plain, mac=b"", head=b""))
            failures.append(compared(built, frame.removeprefix(osdp_frames.MARK), "built anew"))
        failures += [compared(seen, message[name], name) for name, seen in _osdp_words(packet, plain).items()]
        failures.append(compared("pd" if packet.reply else "acu", message["dir"], "direction"))
        failures.append(compared(packet.address, session["address"], "address"))
        yield case, first(*failures)


def osdp(contents: Case) -> Iterator[Outcome]:
    """CRC, checksum, the standard's example of the Secure Channel, frames, captured sessions, broken wires."""
    for case in contents.get("crc", []):
        yield (
            f"crc {case['message']}",
            compared(osdp_frames.crc16(bytes.fromhex(case["message"])).hex().upper(), case["crc_le"]),
        )
    for case in contents.get("checksum", []):
        seen = osdp_frames.checksum(bytes.fromhex(case["message"])).hex().upper()
        yield f"checksum {case['message']}", compared(seen, case["checksum"])
    annex = contents.get("annex_e")
    if annex:
        key, rnd_a, rnd_b = (bytes.fromhex(annex[name]) for name in ("scbk_d", "rnd_a", "rnd_b"))
        channel = osdp_frames.SecureChannel(key, rnd_a, rnd_b)
        yield "annex E key", compared(key, osdp_frames.DEFAULT_KEY)
        for name in ("s_mac1", "s_mac2", "s_enc", "server_cryptogram", "client_cryptogram"):
            yield f"annex E {name}", compared(getattr(channel, name).hex().upper(), annex[name])
        yield "annex E rmac_i", compared(channel.r_mac.hex().upper(), annex["rmac_i"])
    for case in contents.get("frames", []):
        (packet,) = osdp_frames.Decoder().feed(bytes.fromhex(case["frame"]), 0)
        seen = (packet.reply, f"{packet.code:02X}", packet.sequence)
        yield f"frame {case['frame']}", compared(seen, (case["reply"], case["code"], case["seq"]))
    for session in contents.get("sessions", []):
        yield from _osdp_session(session)
    for case in contents.get("wire_tests", []):

        def run(pieces: list[tuple[bytes, int]], expect: str = case["expect"]) -> str | None:
            packets = fed(osdp_frames.Decoder(), pieces)
            return compared(len(packets), {"frame": 1, "drop": 0}[expect], "packets")

        yield under_any_cut({"id": case["id"], "chunks": [case["bytes"]]}, run)


RUNNERS: dict[str, Callable[[Case], Iterable[Outcome]]] = {
    "id_number_gb11643": gb11643,
    "key_diversification": key_diversification,
    "ntag424_ev2_auth": ntag424_ev2_auth,
    "ntag424_sdm": ntag424_sdm,
    "osdp": osdp,
    "pn532_hsu": pn532_hsu,
    "rdm6300": rdm6300_streams,
    "sdt_idcard": sdt_idcard_streams,
    "serial_uid_and_wedge": serial_uid_and_wedge,
    "sun_counter_policy": sun_counter_policy,
    "wiegand_and_card_numbers": wiegand_and_card_numbers,
}
