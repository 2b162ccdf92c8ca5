#!/usr/bin/env python3
"""Writes the types of both clients from ng.schema.json and events.schema.json. `--check` writes nothing and fails if they would change."""

import json
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCHEMA = json.loads((HERE / "ng.schema.json").read_text())
SCHEMA["$defs"] |= json.loads((HERE / "events.schema.json").read_text())["$defs"]
CLIENTS = HERE.parent.parent / "clients"
SOURCE = "from control/ng/schema/*.json by control/ng/schema/write_types.py; do not edit"


def resolve(schema):
    """The definition of a reference, overridden by the keys beside the reference."""
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return resolve(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]) | beside


def named_objects():
    """Every object with a title, in order of dependency."""
    found = {}

    def visit(schema):
        if "$ref" in schema:
            # The keys beside a reference describe the place, not the definition.
            return visit(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        for part in ("items", "additionalProperties"):
            if isinstance(schema.get(part), dict):
                visit(schema[part])
        if "required" in schema and "type" not in schema:
            return
        for part in schema.get("allOf", []) + schema.get("anyOf", []) + list(schema.get("properties", {}).values()):
            if part is not True:
                visit(part)
        if schema.get("type") == "object" and "title" in schema:
            found.setdefault(schema["title"], schema)

    for definition in SCHEMA["$defs"].values():
        visit(definition)
    return found


class Language:
    """Writes types of one language. `words` is the type of `flags`: known words help the editor, others are valid."""

    def type(self, schema):
        if schema.get("$ref") == "#/$defs/flags":
            return self.list(self.words)
        schema = resolve(schema)
        if "title" in schema:
            return schema["title"]
        if "const" in schema:
            return self.literals([schema["const"]])
        if "enum" in schema:
            return self.literals(schema["enum"])
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.type(part) for part in schema["anyOf"]))
        match schema["type"]:
            case "array":
                return self.list(self.type(schema["items"]))
            case "object":
                return self.map(self.type(schema["additionalProperties"]))
            case scalar:
                return self.scalars[scalar]


class TypeScript(Language):
    words = "Word | (string & {})"
    scalars = {"string": "string", "integer": "number", "boolean": "boolean"}

    def literals(self, values):
        return " | ".join(json.dumps(value) for value in values)

    def list(self, item):
        return f"({item})[]" if "|" in item else f"{item}[]"

    def map(self, value):
        return f"Record<string, {value}>"

    def document(self):
        yield f"// Written {SOURCE}.\n"
        for title in ("word", "protocol", "event-name"):
            schema = SCHEMA["$defs"][title]
            if "description" in schema:
                yield f"/** {schema['description']} */"
            yield f"export type {schema['title']} ="
            yield from (f"  | {json.dumps(value)}" for value in schema["enum"])
            yield ""
        for title, schema in named_objects().items():
            if "description" in schema:
                yield f"/** {schema['description']} */"
            parents = [resolve(part) for part in schema.get("allOf", [])]
            extends = [parent["title"] for parent in parents if "title" in parent]
            yield f"export interface {title} {f'extends {extends[0]} ' if extends else ''}{{"
            for key, part in schema["properties"].items():
                if "description" in resolve(part):
                    yield f"  /** {resolve(part)['description']} */"
                name = key if key.isidentifier() else json.dumps(key)
                yield f"  {name}{'' if key in schema.get('required', []) else '?'}: {self.type(part)};"
            yield "}\n"


class Python(Language):
    words = "Word | str"
    scalars = {"string": "str", "integer": "int", "boolean": "bool"}

    def literals(self, values):
        return f"Literal[{', '.join(json.dumps(value) for value in values)}]"

    def list(self, item):
        return f"Sequence[{item}]"

    def map(self, value):
        return f"Mapping[str, {value}]"

    def document(self):
        yield f'"""The messages\' types. Written {SOURCE}."""\n'
        yield "from __future__ import annotations\n"
        yield "from collections.abc import Mapping, Sequence"
        yield "from typing import Literal, NotRequired, TypedDict\n"
        for title in ("word", "protocol", "event-name"):
            schema = SCHEMA["$defs"][title]
            yield f"{schema['title']} = Literal["
            values = ", ".join(json.dumps(value) for value in schema["enum"])
            yield textwrap.fill(values, 112, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
            yield "]"
            if "description" in schema:
                yield f'"""{schema["description"]}"""'
            yield ""
        requests = {resolve(part)["title"] for part in SCHEMA["$defs"]["request"]["anyOf"]}
        for title, schema in named_objects().items():
            if title in requests:
                # Requests are made by the client's methods.
                continue
            yield ""
            if title == "Options":
                yield "class Options(TypedDict, total=False):"
                yield '    """Keywords of `Client.offer` and `Client.answer`; `_` replaces `-`."""\n'
                for key, part in schema["properties"].items():
                    yield f"    {key.replace('-', '_')}: {self.type(part)}"
                    if "description" in resolve(part):
                        yield f'    """{resolve(part)["description"]}"""'
            else:
                yield f"{title} = TypedDict("
                yield f'    "{title}",'
                yield "    {"
                for key, part in schema["properties"].items():
                    kind = self.type(part)
                    kind = kind if key in schema.get("required", []) else f"NotRequired[{kind}]"
                    # The type is a string, as it may name types that come later.
                    yield f"        {json.dumps(key)}: {kind!r},"
                yield "    },"
                yield ")"
                if "description" in schema:
                    yield f'"""{schema["description"]}"""'
            yield ""


def main():
    stale = []
    for path, language in (("python/src/trestle_client/ng.py", Python()), ("npm/ng.d.ts", TypeScript())):
        path = CLIENTS / path
        text = "\n".join(language.document()).rstrip("\n") + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(str(path.relative_to(HERE.parent.parent.parent)))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        sys.exit(f"not as the schema has it: {', '.join(stale)}; run control/ng/schema/write_types.py")


if __name__ == "__main__":
    main()
