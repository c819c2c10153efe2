"""A gate's rules over codes: which formats it accepts, and what a code of each has to meet. Pure.

    rules.json: {"sets": {"entry": {"formats": ["hcert", "gc1"], "rules": [RULE, …]}}, "value_sets": {…}}
    RULE: {"name": "VR-0001", "format": "hcert", "content": "vaccination", "logic": CertLogic}

``content`` may be left out: the rule then stands for every code of its format. A rule is met when its logic gives
exactly ``true``; a rule that cannot be evaluated is not met. The data of a rule is ``{"payload": the signed content,
"external": {"validationClock", "valueSets", "issuerCountryCode", "iat", "exp"}}``, as the EU's rules expect it. The
payload of a ``gc1`` is ``{"status": "green", "printed": false, "regions": []}``, so that a gate can do without printed
codes; ``gp1`` passes and codes that a server judges have no rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kiosk.credentials.anchors import Rule, RuleSet
from kiosk.credentials.certlogic import CertLogicError, evaluate
from kiosk.credentials.code_verdict import CodeReason, CodeRefusedError, GateContext

MAX_RULES = 500


def read_rule_set(rows: Any, value_sets: Mapping[str, Any]) -> RuleSet:
    """One set of the file. Raises ValueError when it is not of the form above."""
    if not isinstance(rows, dict) or not isinstance(rows.get("formats"), list):
        raise ValueError("a rule set needs its formats")
    rules = rows.get("rules", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise ValueError("rules are a list")
    return RuleSet(
        formats=frozenset(map(str, rows["formats"])),
        rules=tuple(map(_read_rule, rules)),
        value_sets=value_sets,
    )


def _read_rule(row: Any) -> Rule:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str) or "logic" not in row:
        raise ValueError("a rule needs name and logic")
    return Rule(
        name=row["name"][:60],
        code_format=str(row.get("format", "hcert")),
        content=str(row.get("content", "")),
        logic=row["logic"],
    )


def check_rules(
    rule_sets: Mapping[str, RuleSet],
    context: GateContext,
    *,
    code_format: str,
    content: str,
    payload: Any,
    external: Mapping[str, Any],
    now: datetime,
) -> None:
    """Returns where the gate's rule set accepts the code; no set named accepts every genuine code.

    Raises CodeRefusedError: ``rules_missing`` when the store has no such set, ``rules_failed`` when the format is
    not accepted or a rule is not met.
    """
    if not context.rule_set:
        return
    rule_set = rule_sets.get(context.rule_set)
    if rule_set is None:
        raise CodeRefusedError(CodeReason.RULES_MISSING)
    if code_format not in rule_set.formats:
        raise CodeRefusedError(CodeReason.RULES_FAILED)
    clock = now.astimezone(UTC).isoformat(timespec="seconds")
    data = {
        "payload": payload,
        "external": {"validationClock": clock, "valueSets": rule_set.value_sets, **external},
    }
    for rule in rule_set.rules:
        if rule.code_format != code_format or rule.content not in ("", content):
            continue
        try:
            met = evaluate(rule.logic, data)
        except CertLogicError:
            met = False
        if met is not True:
            raise CodeRefusedError(CodeReason.RULES_FAILED)
