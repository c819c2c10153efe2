"""Which sentence a resident's screen says aloud: the texts of ``messages/``, by the same key that is shown. Pure.

Said is what stands below the big word (``resident``); a text whose words should not be heard by a whole queue has a
field ``spoken`` beside it. What a guard's thermometer is asked for is said as plain "see the guard".
"""

from __future__ import annotations

import hashlib

from kiosk.board import Phase
from kiosk.reasons import NextStep
from kiosk.screens.faces import Face, ResidentScreen, TextKey
from kiosk.screens.texts import Texts

#: Faces that are an answer; while waiting or measuring nothing is said.
SPOKEN_FACES = frozenset({Face.ADMIT, Face.DENY, Face.GUARD, Face.EMERGENCY})

_SEE_GUARD = TextKey("next_step", NextStep.SEE_GUARD)
#: Shown in full to the person in front, heard by all behind: the same recording, so that not even a voice differs.
_SAID_AS = {TextKey("next_step", NextStep.CONTACT_THERMOMETER): _SEE_GUARD}

#: Every sentence that can be said, in the order in which they are listed and made.
SENTENCES: tuple[TextKey, ...] = (
    *(key for step in NextStep if (key := TextKey("next_step", step)) not in _SAID_AS),
    TextKey("phase", Phase.FAULT),
    TextKey("resident", "emergency"),
)


def spoken(screen: ResidentScreen) -> TextKey | None:
    """What a screen says, or None where it says nothing."""
    if screen.face not in SPOKEN_FACES:
        return None
    return _SAID_AS.get(screen.text, screen.text)


def name_of(key: TextKey) -> str:
    """A sentence's name in addresses and of its file: ``next_step.go_in``."""
    return f"{key.section}.{key.key}"


def sentence(words: Texts, key: TextKey) -> str:
    """The words of a sentence in a language. Raises ConfigError when the text is missing."""
    return words.find(key.section, key.key, "spoken", default="") or words.get(key.section, key.key, "resident")


def text_sha256(words: Texts, key: TextKey) -> str:
    """By which a recording is known to say today's words, in hex."""
    return hashlib.sha256(sentence(words, key).encode()).hexdigest()
