"""The central's texts: both languages whole, every reason and every alert in words, nothing said outside them."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kiosk.calibration import Drift
from kiosk.reasons import CheckName, CheckState, ClockTrust, Direction, Passed, Reason
from kiosk.records import Stream
from sync.answer import Result
from sync.central.access import Role
from sync.central.admin.refusals import TEXT_OF
from sync.central.admin.texts import Language, Texts, local_detail, texts
from sync.document import DocumentKind
from sync.trouble import Trouble
from tests.conftest import ROOT

ADMIN = ROOT / "sync/central/admin"
CENTRAL = ROOT / "sync/central"
HAN = re.compile(r"[\u4e00-\u9fff]")
FORMATTED = {"thermometer_drift_": tuple(f"thermometer_drift_{state}" for state in (Drift.WARN, Drift.STOP))}
"""Codes that are put together where they are raised: what they begin with, and what they can be."""


def leaves(said: Texts) -> dict[str, str]:
    """Every text by its path."""
    found: dict[str, str] = {}
    for section, keys in said.table.items():
        for key, value in keys.items():
            if isinstance(value, str):
                found[f"{section}.{key}"] = value
            else:
                found |= {f"{section}.{key}.{field}": text for field, text in value.items()}
    return found


ZH, EN = leaves(texts(Language.ZH)), leaves(texts(Language.EN))


def test_both_languages_have_the_same_texts_and_places() -> None:
    """Key for key, place for place, mark for mark; none is empty, and each is in its own language."""
    assert ZH.keys() == EN.keys()
    parts = string.Formatter().parse
    for key in ZH:
        assert ZH[key].strip(), key
        assert EN[key].strip(), key
        places = [{name for _, name, _, _ in parts(text) if name} for text in (ZH[key], EN[key])]
        assert places[0] == places[1], key
        assert re.findall(r"<[^>]+>", ZH[key]) == re.findall(r"<[^>]+>", EN[key]), key
        assert not HAN.search(EN[key]), key
        bare = re.sub(r"\{\w+\}|<[^>]+>", "", ZH[key])
        assert HAN.search(bare) or not re.search(r"[A-Za-z]", bare), key


@pytest.mark.parametrize("language", list(Language))
def test_every_closed_list_is_in_words(language: Language) -> None:
    """Reasons, checks, verdict's parts, streams, results, roles, clock, documents: no code is left to be read raw."""
    said = texts(language)
    for section, codes in (
        ("reason", Reason),
        ("check", CheckName),
        ("check_state", CheckState),
        ("clock_trust", ClockTrust),
        ("direction", Direction),
        ("passed", Passed),
        ("stream", Stream),
        ("result", Result),
        ("role", Role),
        ("held", DocumentKind),
    ):
        assert {str(code) for code in codes} <= said.words(section).keys(), section  # type: ignore[attr-defined]


# -- alerts ----------------------------------------------------------------------------------------------------


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def value_of(node: ast.expr, constants: dict[str, str]) -> tuple[str, ...]:
    """What a code's expression can be; fails for one that this test cannot follow."""
    match node:
        case ast.Constant(value=str(text)):
            return (text,)
        case ast.Name(id=name) if name in constants:
            return (constants[name],)
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]) if start in FORMATTED:
            return FORMATTED[start]
        case _:
            return ()


def constants_of(tree: ast.Module) -> dict[str, str]:
    """The texts that a file names."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def codes_raised(tree: ast.Module) -> Iterator[str]:
    """Codes of alarms in a kiosk's file: ``alarm(code, …)``, ``facts_only(code=…)``, ``{"code": …}`` of an alarm."""
    constants = constants_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if called(node) in ("alarm", "_alarm") and node.args:
                yield from value_of(node.args[0], constants)
            if called(node) in ("facts_only", "RaiseAlarm"):
                for keyword in node.keywords:
                    if keyword.arg == "code":
                        yield from value_of(keyword.value, constants)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield from value_of(value, constants)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def alert_codes() -> set[str]:
    """Every code that an alert at the central can have."""
    found = {f"kiosk_{trouble}" for trouble in Trouble}
    for path in sorted((ROOT / "kiosk").rglob("*.py")):
        if path.name not in ("forms.py",):  # a form's field is called code as well
            found |= {f"kiosk_{code}" for code in codes_raised(parsed(path)) if code}
    for path in sorted(CENTRAL.rglob("*.py")):
        tree = parsed(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in ("raise_alert", "keep_alert"):
                found |= set(value_of(node.args[2], constants_of(tree)))
    of_records = next(
        node
        for node in parsed(CENTRAL / "gate_alarms.py").body
        if isinstance(node, ast.FunctionDef) and node.name == "_code"
    )
    for node in ast.walk(of_records):
        if isinstance(node, ast.Return) and node.value is not None:
            branches = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            found |= {f"kiosk_{code}" for each in branches for code in value_of(each, {"UNNAMED": "alarm"}) if code}
        if isinstance(node, ast.Tuple):
            found |= {f"kiosk_{code}" for each in node.elts for code in value_of(each, {})}
    return found


@pytest.mark.parametrize("language", list(Language))
def test_every_alert_has_a_sentence_and_what_to_do(language: Language) -> None:
    """What the central, its kiosks and their sync raise is said in words; an unknown code is shown as it is."""
    codes = alert_codes()
    assert {
        "fork",
        "kiosk_silent",
        "documents_old",
        "retention_late",
        "kiosk_stranded",
        "kiosk_disk_full",
        "kiosk_journal_damaged",
        "kiosk_thermometer_drift_stop",
        "kiosk_card_clone_seen",
        "kiosk_document_refused",
        "kiosk_trust_waits",
        "kiosk_fire",
        "kiosk_referral",
        "kiosk_alarm",
        "kiosk_not_admitted",
    } <= codes, "the search for codes finds what it is known to find"
    said = texts(language)
    assert codes - said.table["alert"].keys() == set()
    for code in codes:
        text = said.alert(code)
        assert text.sentence.endswith((".", "。"))
        assert text.do.endswith((".", "。"))
    assert said.alert("kiosk_of_tomorrow").sentence == "kiosk of tomorrow"


# -- what the pages refuse -------------------------------------------------------------------------------------


def test_every_refusal_of_a_page_has_a_sentence() -> None:
    """Each thing that a WireError of the pages, or of what they call, names is explained to the person."""
    files = ("pages.py", "documents.py", "orders.py", "phones.py", "publishing.py")
    things: set[str] = set()
    for name in (*files, "../status_orders.py", "../signed_text.py"):
        for node in ast.walk(parsed(ADMIN / name)):
            if isinstance(node, ast.Call) and called(node) == "WireError":
                things |= set(value_of(node.args[0], {}))
            if isinstance(node, ast.Call) and called(node) == "short":
                things |= set(value_of(node.args[1], {}))
    assert {"order's end", "person number", "kiosk's key"} <= things
    assert things - TEXT_OF.keys() == set()
    assert {key.removeprefix("refusal.") for key in TEXT_OF.values()} <= texts(Language.ZH).words("refusal").keys()


def test_every_deed_in_the_audit_log_has_a_word() -> None:
    """What ``note`` is called with, and the two states of a kiosk that somebody decides on."""
    deeds = {"approved", "revoked"}
    for path in sorted(CENTRAL.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and called(node) == "note" and len(node.args) == 5:
                deeds |= set(value_of(node.args[3], {}))
    assert {"publish", "withdraw", "log_in", "status_lifted", "restored"} <= deeds
    assert texts(Language.ZH).words("audit_action").keys() == deeds


# -- nothing outside the catalogue -----------------------------------------------------------------------------

OWN_WORDS = {"CSV", "NDJSON", "gate-east", "gatepost-sync enrol --code"}
"""What a template may say itself: names of formats, of a command, of an example."""


@pytest.mark.parametrize("path", sorted((ADMIN / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_template_says_anything_itself(path: Path) -> None:
    """Between the marks of a template stands no word, and no attribute that people read or hear has one."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    spoken = re.findall(r'(?:title|placeholder|alt|aria-label)="([^"]*)"', text)
    words = [part.strip(" …·–✓✕():\n") for part in re.split(r"<[^>]*>", text)] + spoken
    assert {word for word in words if re.search(r"[^\W\d_]", word)} <= OWN_WORDS


@pytest.mark.parametrize("path", sorted((ADMIN / "templates").glob("*.html")), ids=lambda path: path.name)
def test_every_key_of_a_template_is_there(path: Path) -> None:
    """A key that is written out in a template has a text."""
    text = path.read_text(encoding="utf-8")
    keys = re.findall(r"""(?:\bt|marked)\(["']([a-z_.]+[a-z])["'](?! ~)""", text)
    assert {key for key in keys if key not in ZH} == set()


# -- small parts -----------------------------------------------------------------------------------------------


def test_spans_checks_and_reasons_are_put_in_words() -> None:
    """Units, order and separators belong to the language."""
    zh, en = texts(Language.ZH), texts(Language.EN)
    assert [en.span(us) for us in (None, 850_000, 4_200_000, 720_000_000, 12_600_000_000, 181_440_000_000)] == [
        "–",
        "850 ms",
        "4.2 s",
        "12 min",
        "3.5 h",
        "2.1 d",
    ]
    assert zh.span(720_000_000) == "12 分钟"
    checks = '{"pass": "pass", "temperature": "waived", "trip": "unknown"}'
    assert en.checks(checks) == "temperature waived, trip unknown"
    assert zh.checks(checks) == "测温免除，行程未知"
    assert zh.checks('{"pass": "pass"}') == "全部通过"
    assert en.reasons("out_of_hours card_of_tomorrow") == "It was outside this category's hours. card of tomorrow"
    assert zh.code_of("category", "快递外卖") == "courier"
    assert zh.code_of("category", "choir") == "choir"


def test_what_is_filled_into_a_marked_text_is_escaped() -> None:
    """A kiosk's name is text, whatever it looks like."""
    said = texts(Language.EN).marked("kiosks.code_made", kiosk="<b>x</b>", code="A")
    assert "&lt;b&gt;x&lt;/b&gt;" in said
    assert '<b class="code big">A</b>' in said


def test_a_gates_time_is_shown_in_the_sites_zone() -> None:
    """The detail of an alarm carries UTC; people read their own time. What is no time stays as it is."""
    zone = ZoneInfo("Asia/Shanghai")
    assert local_detail("in (2026-11-21 22:56 UTC)", zone) == "in (2026-11-22 06:56)"
    assert local_detail("in (9999-99-99 22:56 UTC)", zone) == "in (9999-99-99 22:56 UTC)"
