"""What is said when alerts are sent: sentences, counts, times and what the alert row itself holds. Pure.

There is no name in it and nothing of anybody's health: an alert's row has neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from kiosk.records import JsonValue
from sync.central.admin.texts import Language, local_detail, local_time, texts
from sync.central.exports import utc_text

MESSAGE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One alert in words. ``kiosk`` is "" for the central's own, ``at_us`` and ``last_us`` are UTC in microseconds."""

    code: str
    kiosk: str
    detail: str
    sentence: str
    do: str
    times: int
    at_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One message: every alert that is new. ``number`` is the same when the same message is sent once more."""

    number: str
    site: str
    language: Language
    zone: ZoneInfo
    link: str
    sent_us: int
    notices: tuple[Notice, ...]
    more: int

    def subject(self) -> str:
        """One line: the sentence of a single alert, the count of several."""
        said = texts(self.language)
        if len(self.notices) == 1 and not self.more:
            one = self.notices[0]
            return said.get("notice.subject_one", site=self.site, sentence=one.sentence, kiosk=self._whose(one))
        return said.get("notice.subject", site=self.site, count=len(self.notices) + self.more)

    def text(self) -> str:
        """The body of a mail."""
        said = texts(self.language)
        parts = [self._paragraph(notice) for notice in self.notices]
        if self.more:
            parts.append(said.get("notice.more", count=self.more))
        if self.link:
            parts.append(said.get("notice.look", link=self.link))
        return "\n\n".join([*parts, said.get("notice.foot", site=self.site)]) + "\n"

    def document(self) -> dict[str, JsonValue]:
        """The body of a webhook's request."""
        return {
            "v": MESSAGE_VERSION,
            "id": self.number,
            "site": self.site,
            "subject": self.subject(),
            "link": self.link,
            "more": self.more,
            "alerts": [
                {
                    "code": notice.code,
                    "kiosk": notice.kiosk,
                    "detail": notice.detail,
                    "sentence": notice.sentence,
                    "do": notice.do,
                    "times": notice.times,
                    "at": utc_text(notice.at_us),
                    "last": utc_text(notice.last_us),
                }
                for notice in self.notices
            ],
        }

    def _whose(self, notice: Notice) -> str:
        said = texts(self.language)
        return said.get("notice.kiosk", kiosk=notice.kiosk) if notice.kiosk else said.get("notice.central")

    def _paragraph(self, notice: Notice) -> str:
        said = texts(self.language)
        at, last = local_time(notice.at_us, self.zone), local_time(notice.last_us, self.zone)
        when = f"{at} ({said.get('notice.times', count=notice.times, time=last)})" if notice.times > 1 else at
        lines = [f"{self._whose(notice)}  {when}", notice.sentence, notice.do]
        if notice.detail:
            lines.append(said.get("notice.detail", detail=local_detail(notice.detail, self.zone)))
        return "\n".join(line for line in lines if line)


def bundle_of(
    rows: Iterable[Any],
    *,
    more: int,
    channel: str,
    site: str,
    language: Language,
    zone: ZoneInfo,
    link: str,
    now_us: int,
) -> Bundle:
    """The message about these rows of table ``alerts``, by this channel."""
    rows = tuple(rows)
    said = texts(language)
    numbers = " ".join(f"{row.alert_id}/{row.at_us}" for row in rows)
    return Bundle(
        number=hashlib.sha256(f"{channel} {numbers}".encode()).hexdigest()[:32],
        site=" ".join(site.split()),
        language=language,
        zone=zone,
        link=link,
        sent_us=now_us,
        notices=tuple(
            Notice(
                code=row.code,
                kiosk=row.kiosk_id,
                detail=row.detail,
                sentence=said.alert(row.code).sentence,
                do=said.alert(row.code).do,
                times=row.times,
                at_us=row.at_us,
                last_us=row.last_us,
            )
            for row in rows
        ),
        more=more,
    )


def trial_bundle(*, site: str, language: Language, zone: ZoneInfo, link: str, now_us: int) -> Bundle:
    """A message that says it is a trial."""
    said = texts(language)
    notice = Notice(
        code="trial",
        kiosk="",
        detail="",
        sentence=said.get("notice.trial"),
        do=said.get("notice.trial_do"),
        times=1,
        at_us=now_us,
        last_us=now_us,
    )
    number = hashlib.sha256(f"trial {now_us}".encode()).hexdigest()[:32]
    return Bundle(
        number=number,
        site=" ".join(site.split()),
        language=language,
        zone=zone,
        link=link,
        sent_us=now_us,
        notices=(notice,),
        more=0,
    )
