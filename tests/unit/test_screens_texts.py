"""The screens' texts: complete for every code, the same keys in both languages, short and polite."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from config.errors import ConfigError
from drivers.devices import FaultKind
from kiosk.board import Hint, Phase
from kiosk.camera_report import Advice
from kiosk.evidence import AttestedCode, NotMeasured, TemperatureOutcome
from kiosk.id_desk import IdProblem
from kiosk.reasons import PRIVATE_REASONS, CheckName, CheckState, ClockTrust, Direction, NextStep, Reason, Remark
from kiosk.screens import forms
from kiosk.screens.texts import Language, pseudo_locale, texts
from tests.conftest import ROOT

ENUMS: list[tuple[str, type[StrEnum], tuple[str, ...]]] = [
    ("reason", Reason, ("resident", "guard")),
    ("remark", Remark, ("guard",)),
    ("next_step", NextStep, ("word", "resident", "guard")),
    ("hint", Hint, ("word", "resident", "guard")),
    ("phase", Phase, ("word", "resident", "guard")),
    ("temperature", TemperatureOutcome, ("resident", "guard")),
    ("not_measured", NotMeasured, ("resident", "guard")),
    ("check", CheckName, ("guard",)),
    ("check_state", CheckState, ("guard",)),
    ("clock_trust", ClockTrust, ("guard",)),
    ("direction", Direction, ("resident", "guard")),
    ("aim", Advice, ("guard",)),
]


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(("section", "codes", "fields"), ENUMS, ids=lambda v: v if isinstance(v, str) else "")
def test_every_code_has_its_texts_and_no_text_lacks_a_code(
    language: Language, section: str, codes: type[StrEnum], fields: tuple[str, ...]
) -> None:
    """A new member of a closed list cannot be forgotten, and a removed one leaves no orphan."""
    words = texts(language)
    assert set(words.keys(section)) == {str(code) for code in codes}
    for code in codes:
        for field in fields:
            assert words.get(section, code, field).strip(), (section, code, field)


def test_both_languages_have_the_same_keys_and_places() -> None:
    """Every text has its twin, with the same ``{places}`` to fill."""
    zh, en = texts(Language.ZH).table, texts(Language.EN).table
    assert list(zh) == list(en)
    for section in zh:
        assert list(zh[section]) == list(en[section]), section
        for key in zh[section]:
            assert list(zh[section][key]) == list(en[section][key]), (section, key)
            for field, text in zh[section][key].items():
                places = [re.findall(r"{\w+}", t) for t in (text, en[section][key][field])]
                assert places[0] == places[1], (section, key, field)


def test_the_choices_of_the_forms_have_texts() -> None:
    """Every reason, purpose and category that a form offers can be written on its button."""
    for language in Language:
        words = texts(language)
        assert set(forms.OVERRIDE_REASONS) == set(words.keys("override_reason"))
        assert set(forms.DENY_REASONS) == set(words.keys("deny_reason"))
        assert set(forms.PURPOSES) == set(words.keys("purpose"))
        assert set(forms.VISITOR_CATEGORIES) <= set(words.keys("category"))
    assert {"seen_green", "not_green", "no_phone"} == set(AttestedCode)


def test_everything_the_gate_can_answer_and_alarm_has_a_text() -> None:
    """Refusals, alarms and device faults come as codes; none of them reaches the guard as a bare code."""
    named = (ROOT / "kiosk" / f"{name}.py" for name in ("capture", "card_watch", "run"))
    files = [*sorted((ROOT / "kiosk").glob("passage*.py")), *named]
    source = "".join(path.read_text("utf-8") for path in files)
    refusals = set(re.findall(r'done=False, message="(\w+)"', source))
    alarms = set(re.findall(r'(?:\b_?alarm\(|RaiseAlarm\(code=)"(\w+)"', source))
    assert len(refusals) > 5
    assert len(alarms) > 4
    for language in Language:
        assert refusals <= set(texts(language).keys("refused"))
        assert alarms <= set(texts(language).keys("alarm"))
        assert set(texts(language).keys("fault")) == {*FaultKind, "starting"}


def test_everything_an_id_card_can_be_has_a_text() -> None:
    """Good, or what is wrong with it."""
    for language in Language:
        assert set(texts(language).keys("id_card")) == {"read", *IdProblem}


def test_the_big_words_can_be_read_from_three_metres() -> None:
    """At most six Han characters and three English words, so that the letters stay large enough."""
    for section in ("next_step", "hint", "phase"):
        for key in texts(Language.ZH).keys(section):
            word = texts(Language.ZH).get(section, key, "word")
            assert 2 <= len(word) <= 6, word
            assert re.fullmatch(r"[\u4e00-\u9fff]+", word), word
            assert len(texts(Language.EN).get(section, key, "word").split()) <= 3, (section, key)


def test_private_findings_share_one_public_sentence() -> None:
    """Nobody in the queue can tell a fever from a revoked card by reading the screen."""
    for language in Language:
        sentences = {texts(language).get("reason", reason, "resident") for reason in PRIVATE_REASONS}
        assert sentences == {texts(language).get("next_step", "see_guard", "resident")}


def test_residents_are_told_what_to_do_and_never_blamed() -> None:
    """No resident's text names an illness, a suspicion or a failure of the person."""
    blame = re.compile(
        r"异常|发热|发烧|拒绝|禁止|伪造|失败|错误|非法|体温偏高|红码|黄码|fever|refus|denied|forged|illegal|invalid|failed",
        re.I,
    )
    for language in Language:
        for section, keys in texts(language).table.items():
            for key, fields in keys.items():
                for field in ("word", "resident"):
                    assert not blame.search(fields.get(field, "")), (section, key, fields[field])


def test_a_missing_text_names_the_file_to_mend() -> None:
    """The error says which key of which language is missing and where it belongs."""
    with pytest.raises(ConfigError, match=r"reason\.no_such\.guard.*messages/en\.toml"):
        texts(Language.EN).get("reason", "no_such")


def test_the_pseudo_locale_is_forty_percent_longer() -> None:
    """The stretched texts of the overflow test are long enough to stand for another language."""
    short, long = texts(Language.EN), pseudo_locale(texts(Language.EN))
    for key in short.keys("reason"):
        assert len(long.get("reason", key)) >= 1.4 * len(short.get("reason", key))
