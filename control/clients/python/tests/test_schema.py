"""Compares ng.schema.json with a running Trestle: Trestle accepts every request of the schema, the schema describes every key of
every reply, and it has every key and flag of Trestle."""

import copy
import json
import re
import subprocess
import sys
import unittest

from server import CONTROL, EVENTS, SCHEMA, Server, sdp, udp

from trestle_client import Client

try:
    from jsonschema import Draft202012Validator
except ModuleNotFoundError:
    raise SystemExit("there is no Python package jsonschema here: run .ci/install and use target/python/bin/python") from None

DOCUMENT = json.loads(SCHEMA.read_text())


def strict(schema):
    """The same schema, but an object may have only the keys that the schema describes."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema and "title" in schema:
        schema.setdefault("unevaluatedProperties", False)
    return schema


def validator(definition, document=DOCUMENT):
    return Draft202012Validator({"$ref": f"#/$defs/{definition}", "$defs": copy.deepcopy(document["$defs"])})


def errors(definition, message):
    return [f"{error.json_path}: {error.message}" for error in validator(definition, STRICT).iter_errors(message)]


STRICT = strict(DOCUMENT) | {"$defs": {name: strict(part) if name != "options" else part for name, part in DOCUMENT["$defs"].items()}}
VERBS = [part["$ref"].removeprefix("#/$defs/") for part in DOCUMENT["$defs"]["request"]["anyOf"]]
COMMANDS = []
for verb in VERBS:
    command = DOCUMENT["$defs"][verb]["properties"]["command"]
    COMMANDS += command.get("enum") or [command["const"]]


def normalised(name):
    """The form in which Trestle compares names."""
    return re.sub("[ _]", "-", name).lower()


class Ng:
    """One socket, no retransmission: the loopback loses no datagrams."""

    def __init__(self, address):
        self.socket = udp()
        self.socket.connect(address)
        self.requests = 0

    def ask(self, request):
        self.requests += 1
        self.socket.send(f"c{self.requests} {json.dumps(request)}".encode())
        cookie, _, reply = self.socket.recv(65_536).partition(b" ")
        assert cookie == f"c{self.requests}".encode(), (cookie, request)
        return json.loads(reply)


class Schema(unittest.TestCase):
    maxDiff = None

    def start(self, *flags):
        server = Server(*flags)
        self.addCleanup(server.stop)
        ng = Ng(server.address)
        self.addCleanup(ng.socket.close)
        return ng

    def test_it_is_a_schema_and_its_examples_obey_it(self):
        Draft202012Validator.check_schema(DOCUMENT)
        for name, definition in DOCUMENT["$defs"].items():
            for example in definition.get("examples", []):
                self.assertEqual(errors(name, example), [], name)
        for verb in VERBS:
            self.assertTrue(DOCUMENT["$defs"][verb].get("examples"), f"{verb} has no example")

    def test_events_are_described_to_the_last_key(self):
        document = json.loads(EVENTS.read_text())
        Draft202012Validator.check_schema(document)
        described = Draft202012Validator(strict(document))
        for example in document["$defs"]["event"]["examples"]:
            self.assertEqual([error.message for error in described.iter_errors(example)], [])
        ng = self.start("--gate=shut")
        listener = Ng(ng.socket.getpeername())
        self.addCleanup(listener.socket.close)
        listener.ask({"command": "subscribe events"})
        offer = {"command": "offer", "call-id": "c1", "from-tag": "a", "label": "x", "profile": "whatsapp", "sdp": sdp(4000)}
        for request in (offer, {"command": "gate", "call-id": "c1", "op": "close"}, {"command": "delete", "call-id": "c1"}):
            self.assertEqual(ng.ask(request)["result"], "ok")
        events = []
        while not events or events[-1]["event"] != "call.ended":
            events.append(json.loads(listener.socket.recv(65_536)))
            self.assertEqual([error.message for error in described.iter_errors(events[-1])], [], events[-1])
        self.assertEqual([event["event"] for event in events], ["call.opened", "call.gate.closed", "call.ended"])
        self.assertEqual(len(events[-1]["legs"]), 2)

    def test_a_misspelt_key_is_found(self):
        for misspelt in ("transport-protocoll", "fromtag"):
            request = DOCUMENT["$defs"]["offer"]["examples"][0] | {misspelt: "RTP/AVP"}
            self.assertIn(misspelt, str(errors("offer", request)))

    def test_every_example_is_accepted_and_every_reply_described(self):
        ng = self.start()
        # The second call for `connect`.
        expert = {"call-id": "b2b-2", "from-tag": "expert"}
        for request in ({"command": "create"}, {"command": "create answer", "sdp": sdp(4004)}):
            self.assertEqual(ng.ask(expert | request)["result"], "ok")
        for verb in VERBS:
            for example in DOCUMENT["$defs"][verb]["examples"]:
                reply = ng.ask(example)
                self.assertIn(reply["result"], ("ok", "pong"), f"{example}\n{reply}")
                self.assertEqual(errors(f"{verb}-reply", reply), [], reply)

    def test_refusals_are_described(self):
        ng = self.start("--max-sessions=1")
        offer = {"command": "offer", "call-id": "c1", "from-tag": "a", "sdp": sdp(4000), "supports": ["load limit"]}
        self.assertEqual(ng.ask(offer)["result"], "ok")
        seen = set()
        for request in (
            offer | {"call-id": "c2"},
            offer | {"call-id": "c2", "supports": []},
            {"command": "dance"},
            {"command": "query", "call-id": "absent"},
            offer | {"sdp": "v=0\r\nrubbish\r\n", "flags": ["no-such-flag"]},
        ):
            reply = ng.ask(request)
            seen.add(reply["result"])
            self.assertEqual(errors("refusal", reply), [], reply)
        self.assertEqual(seen, {"error", "load limit"})

    def test_the_schema_has_every_verb_of_trestle(self):
        reply = self.start().ask({"command": "dance"})
        known = reply["warnings"][0].split("known are ")[1].split(", ")
        self.assertGreater(len(known), 6)
        self.assertEqual(sorted(known), sorted(COMMANDS))

    def test_both_clients_have_a_method_for_every_verb(self):
        npm = CONTROL / "clients/npm"
        for command in COMMANDS:
            first, *rest = command.lower().split(" ")
            self.assertTrue(hasattr(Client, "_".join([first, *rest])), command)
            method = re.compile(rf"^  (async )?{first}{''.join(word.capitalize() for word in rest)}\(", re.M)
            for file in ("client.js", "index.d.ts"):
                self.assertRegex((npm / file).read_text(), method)

    def test_the_schema_has_every_key_and_flag_of_trestle(self):
        """Every key and flag is a string in the sources. The replies of Trestle show which strings are keys or flags."""
        ng = self.start()
        sources = "\n".join(
            path.read_text() for path in sorted((CONTROL / "ng/src/command").rglob("*.rs")) if "tests" not in path.parts[-1]
        )
        candidates = sorted({normalised(name) for name in re.findall(r'"([A-Za-z0-9][A-Za-z0-9 ._-]*)"', sources)})
        self.assertGreater(len(candidates), 100, "the sources are elsewhere now")

        def unknown(request):
            return any(warning.startswith("unknown") for warning in ng.ask(request).get("warnings", []))

        keys, patterns = set(), []
        for definition in DOCUMENT["$defs"].values():
            if definition.get("title") in {DOCUMENT["$defs"][verb]["title"] for verb in VERBS} or "properties" in definition:
                keys |= {normalised(key) for key in definition.get("properties", {})}
                patterns += definition.get("patternProperties", {})
        words = DOCUMENT["$defs"]["flags"]["items"]["anyOf"]
        named = {normalised(word) for name in ("word", "idle-word", "protocol") for word in DOCUMENT["$defs"][name]["enum"]}
        named |= {normalised(word) for part in words for word in part.get("enum", [])}
        patterns_of_words = [part["pattern"] for part in words if "pattern" in part]

        known_keys = {name for name in candidates if not unknown({"command": "ping", name: "1"})}
        known_words = {name for name in candidates if not unknown({"command": "ping", "flags": [name]})}
        self.assertGreater(len(known_keys), 60)
        # A flag is also a key (`"verbose": true`); the schema requires it in `flags`.
        missing = {key for key in known_keys - known_words if key not in keys and not any(re.search(p, key) for p in patterns)}
        self.assertEqual(missing, set(), "keys that the schema does not have")
        missing = {word for word in known_words - named if not any(re.search(p, word, re.I) for p in patterns_of_words)}
        self.assertEqual(missing, set(), "flags that the schema does not have")

        # And Trestle knows every key and flag in the schema.
        options = DOCUMENT["$defs"]["options"]["properties"] | DOCUMENT["$defs"]["tolerated"]["properties"]
        self.assertEqual({key for key in options if unknown({"command": "ping", key: []})}, set())
        self.assertEqual({word for word in named if unknown({"command": "ping", "flags": [word]})}, set())

    def test_every_value_that_the_schema_lists_is_taken(self):
        ng = self.start()
        for key, option in DOCUMENT["$defs"]["options"]["properties"].items():
            choices = option.get("enum", []) + option.get("items", {}).get("enum", [])
            for value in choices:
                reply = ng.ask({"command": "ping", key: value})
                self.assertEqual(reply, {"result": "pong"}, f"{key}={value}")

    def test_the_types_of_the_clients_match_the_schema(self):
        check = [sys.executable, CONTROL / "ng/schema/write_types.py", "--check"]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
