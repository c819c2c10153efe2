"""The demo's guard: works the real console over HTTP, with the forms that a person without JavaScript would use."""

from __future__ import annotations

import html
import re

import httpx

from config.errors import GatepostError


class ConsoleError(GatepostError):
    """The console refused the demo's guard."""


class Console:
    """Logs in when first needed, and again after the gate was restarted."""

    def __init__(self, address: str, login: str, secret: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=5.0, trust_env=False, follow_redirects=True)
        self._login = login
        self._secret = secret

    def attest(self, lane: str, code: str) -> None:
        """Say what was seen on the phone of the person now in the lane; ConsoleError when the console refuses."""
        self._post(f"/guard/lane/{lane}/attest", f'action="/guard/lane/{lane}/attest"', {"code": code})

    def _post(self, path: str, form_mark: str, fields: dict[str, str]) -> None:
        page = self._console_page()
        hidden = _hidden_fields(page, form_mark)
        answer = self._client.post(path, data={**hidden, **fields})
        if not answer.is_success:
            raise ConsoleError(f"console {path}", seen=f"HTTP {answer.status_code}", expected="the guard's word taken")

    def _console_page(self) -> str:
        answer = self._client.get("/guard")
        if "/guard/login" in str(answer.url):
            hidden = _hidden_fields(answer.text, 'action="/guard/login"')
            answer = self._client.post("/guard/login", data={**hidden, "login": self._login, "secret": self._secret})
        if not answer.is_success or "/guard/login" in str(answer.url):
            raise ConsoleError(
                "console", seen=f"HTTP {answer.status_code} at {answer.url.path}", expected="the console"
            )
        return answer.text

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def _hidden_fields(page: str, form_mark: str) -> dict[str, str]:
    """The hidden fields of the form that ``form_mark`` stands in: its token, and the passage it speaks of."""
    start = page.find(form_mark)
    if start < 0:
        raise ConsoleError("console page", seen="another page", expected=form_mark)
    form = page[start : page.find("</form>", start)]
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', form)
    }
