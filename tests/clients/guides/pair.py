"""Re-enacts guide N's Python client: takes the session from the stream, lets go of the stream, posts on."""

import json

import requests
from sseclient import SSEClient

BASE = "http://localhost:3002"


def session_of_a_new_stream() -> str:
    for event in SSEClient(f"{BASE}/sse"):
        if event.event == "message" and json.loads(event.data).get("method") == "notifications/initialized":
            return str(json.loads(event.data)["params"]["sessionId"])
    raise SystemExit("the stream ended without naming its session")


class Client:
    def __init__(self) -> None:
        self.session_id = session_of_a_new_stream()

    def post(self, message: dict[str, object]) -> None:
        url = f"{BASE}/message"
        answer = requests.post(url, params={"sessionId": self.session_id}, json=message, timeout=10)
        answer.raise_for_status()


client = Client()
client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
arguments = {"boardId": 123, "sprintId": 456}
params = {"name": "get_sprint_report", "arguments": arguments}
client.post({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
