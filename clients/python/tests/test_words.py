"""Words that this package does not know do no harm, wherever the contract has words."""

from __future__ import annotations

import dataclasses
import json
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prosed
from prosed import _api

DOCUMENT = Path(__file__).resolve().parent.parent.parent.parent / "protocol" / "openrpc.json"
WORD = "brandNew"

DOCUMENTED: dict[str, Any] = json.loads(DOCUMENT.read_text())
SCHEMAS: dict[str, Any] = DOCUMENTED["components"]["schemas"]
EVENTS: dict[str, str] = {
    event["carries"]["$ref"].rsplit("/", 1)[1]: event["name"] for event in DOCUMENTED["x-events"]["events"]
}


def sample(schema: dict[str, Any], word_of: str) -> Any:
    """A value with all its fields, in which this schema's word is one that nobody knows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return WORD if name == word_of else sample(SCHEMAS[name], word_of)
    if composed := schema.get("allOf") or schema.get("anyOf"):
        return sample(composed[0], word_of)
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: sample(inner, word_of) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema["items"], word_of)]
        case "string":
            return "2026-01-31T09:00:12.250Z" if schema.get("format") == "date-time" else ""
        case "integer":
            return 1
        case kind:
            return {"boolean": True}[kind]


def words(value: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from words(inner)


def decode(name: str, json: Any) -> Any:
    """What a daemon's value becomes; absent where it never sends one."""
    if name in EVENTS:
        head = sample(SCHEMAS["Event"], "") | {"event": EVENTS[name]}
        return prosed.Event.from_json(head | json)
    kind: Any = getattr(_api, {"Error": "ErrorObject"}.get(name, name), None)
    return kind.from_json(json) if hasattr(kind, "from_json") else None


class Words(unittest.TestCase):
    def test_a_new_word_is_kept_wherever_one_may_come(self) -> None:
        extensible = [name for name, schema in SCHEMAS.items() if "x-extensible-enum" in schema]
        self.assertGreater(len(extensible), 5)
        for enum in extensible:
            objects = {name: sample(one, enum) for name, one in SCHEMAS.items() if "properties" in one}
            objects = {name: json for name, json in objects.items() if WORD in words(json)}
            decoded = {name: decode(name, json) for name, json in objects.items()}
            self.assertTrue(any(decoded.values()), f"{enum} is in nothing that a daemon sends")
            for name, value in decoded.items():
                if value is not None:
                    kept = list(words(dataclasses.asdict(value))).count(WORD)
                    self.assertEqual(kept, list(words(objects[name])).count(WORD), f"{enum} in {name}")

    def test_all_other_words_are_only_sent_or_name_an_event(self) -> None:
        strict = {name for name, one in SCHEMAS.items() if "enum" in one and "x-extensible-enum" not in one}
        self.assertEqual(strict, {"EventName", "TlsMode"})
        event = prosed.Event.from_json(sample(SCHEMAS["Event"], "") | {"event": WORD})
        assert isinstance(event, prosed.UnknownEvent)
        self.assertEqual(event.name, WORD)
        with self.assertRaises(prosed.ProsedError):
            raise _api.error_from_json(sample(SCHEMAS["Error"], "ErrorKind") | {"code": 1999})


if __name__ == "__main__":
    unittest.main()
