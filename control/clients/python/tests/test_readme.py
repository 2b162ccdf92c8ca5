"""Runs the web hook of README.md against a fake Graph and a running Trestle."""

import asyncio
import functools
import json
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from server import CONTROL, SCHEMA, Server, sdp

from trestle_client import Client

README = CONTROL / "clients/python/README.md"
TIMEOUT_S = 20


class Graph(BaseHTTPRequestHandler):
    """A fake Graph: accepts and records every request."""

    requests: queue.Queue

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.put((self.path, self.headers["Authorization"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Readme(unittest.IsolatedAsyncioTestCase):
    def start(self):
        trestle = Server()
        self.addCleanup(trestle.stop)
        requests = queue.Queue()
        graph = HTTPServer(("127.0.0.1", 0), type("Graph", (Graph,), {"requests": requests}))
        threading.Thread(target=graph.serve_forever, daemon=True).start()
        self.addCleanup(graph.server_close)
        self.addCleanup(graph.shutdown)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        [code] = re.findall(r"<!-- a test runs this -->\n```python\n(.*?)```", README.read_text(), re.S)
        (Path(directory.name) / "hook.py").write_text(code)
        (Path(directory.name) / "ring.py").write_text(f"async def ring(sdp):\n    return {sdp(4000)!r}\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            "GRAPH": "http://127.0.0.1:{}".format(graph.server_port), "PHONE_NUMBER_ID": "1065", "TOKEN": "secret",
            "NG_PORT": str(trestle.address[1]), "PORT": str(port), "PYTHONPATH": str(CONTROL / "clients/python/src"),
        }
        log = (Path(directory.name) / "log").open("w+")
        self.addCleanup(log.close)
        hook = subprocess.Popen([sys.executable, "hook.py"], cwd=directory.name, env=os.environ | environment, stderr=log)
        self.addCleanup(hook.wait)
        self.addCleanup(hook.kill)
        return trestle, requests, port

    def deliver(self, port, **call):
        """Delivers a web hook, as Meta does: repeated until it is accepted."""
        value = {"messaging_product": "whatsapp", "calls": [call]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": [{"value": value, "field": "calls"}]}]})
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/", body.encode(), timeout=TIMEOUT_S).close()
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    async def test_it_accepts_a_call_once_and_one_that_is_over_never(self):
        trestle, requests, port = self.start()
        examples = json.loads(SCHEMA.read_text())["$defs"]["offer"]["examples"]
        session = {"sdp_type": "offer", "sdp": examples[0]["sdp"]}
        deliver = functools.partial(asyncio.to_thread, self.deliver, port)
        await deliver(id="wacid.over", event="terminate")
        await deliver(id="wacid.over", event="connect", session=session)
        for _ in range(2):
            await deliver(id="wacid.1", event="connect", session=session)
        seen = [await asyncio.to_thread(requests.get, timeout=TIMEOUT_S) for _ in range(2)]
        self.assertEqual([body["action"] for _, _, body in seen], ["pre_accept", "accept"])
        for path, authorization, body in seen:
            self.assertEqual((path, authorization, body["call_id"]), ("/1065/calls", "Bearer secret", "wacid.1"))
            self.assertEqual((body["session"]["sdp_type"], body["messaging_product"]), ("answer", "whatsapp"))
        self.assertEqual(seen[0][2]["session"], seen[1][2]["session"])
        self.assertIn("a=setup:active\r\n", seen[0][2]["session"]["sdp"])
        async with await Client.open(*trestle.address) as client:
            self.assertEqual(await client.list(), ["wacid.1"])
            await deliver(id="wacid.1", event="terminate")
            deadline = time.monotonic() + TIMEOUT_S
            while (await client.statistics())["currentstatistics"]["sessionsown"]:
                self.assertLess(time.monotonic(), deadline, "the call is not ended")
                await asyncio.sleep(0.01)
        self.assertTrue(requests.empty())


if __name__ == "__main__":
    unittest.main()
