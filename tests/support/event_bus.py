"""EventBridge over HTTP, by moto: a bus with a rule whose target is a queue, and faults on the way to it."""

import io
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response
from werkzeug.serving import make_server

from automl_waiter.integrations.eventbridge import SOURCE

Answer = Callable[[Request], Response | None]
"""A fault: what it answers in the place of EventBridge, or None to let the request pass."""


def error(status: int, code: str, message: str = "said the service") -> Answer:
    """Return an AWS error response."""
    body = json.dumps({"__type": code, "message": message})
    return lambda _: Response(body, status, content_type="application/x-amz-json-1.1")


def refusing(*codes: str | None) -> Answer:
    """Return a response that rejects the entries with a code at their place and accepts the others."""
    return answering(*[{"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": "1"} for code in codes])


def answering(*entries: dict[str, str] | None) -> Answer:
    """Return a PutEvents response with these results."""
    failed = len([entry for entry in entries if "EventId" not in (entry or {})])
    body = json.dumps({"FailedEntryCount": failed, "Entries": entries})
    return lambda _: Response(body, content_type="application/x-amz-json-1.1")


def silent(seconds: float = 60.0) -> Answer:
    """Return a fault that sends no response for so many seconds."""

    def answer(_: Request) -> Response:
        time.sleep(seconds)
        return Response(status=500)

    return answer


class EventBus:
    """The bus `ml-events`. An EventBridge client with the endpoint `url` puts its events there."""

    name = "ml-events"

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)
        self.puts: list[list[dict[str, Any]]] = []
        """The entries of each PutEvents, whatever became of it."""
        self.faults: dict[str, deque[Answer]] = {"PutEvents": deque(), "DescribeEventBus": deque()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def fail(self, *faults: Answer, operation: str = "PutEvents", times: int = 1) -> None:
        """Respond with these faults, one request after the other."""
        self.faults[operation].extend(faults * times)

    def client(self, service: str = "events") -> Any:
        """Return a boto3 client of the bus."""
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.url, **keys)

    def received(self) -> list[dict[str, Any]]:
        """Return the events that the target has received since the last call."""
        found: list[dict[str, Any]] = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    def add_rule(self, pattern: dict[str, Any]) -> None:
        """Deliver matching events to the target, and no others."""
        self._events.put_rule(Name="rule", EventBusName=self.name, EventPattern=json.dumps(pattern))

    def forget(self) -> None:
        """Remove all events and faults."""
        self.puts.clear()
        for faults in self.faults.values():
            faults.clear()
        self.add_rule({"source": [SOURCE]})
        self.received()

    def __enter__(self) -> Self:
        self._thread.start()
        self._events, self._sqs = self.client(), self.client("sqs")
        self._events.create_event_bus(Name=self.name)
        self._queue = self._sqs.create_queue(QueueName="target")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        self.add_rule({"source": [SOURCE]})
        targets = [{"Id": "queue", "Arn": attributes["QueueArn"]}]
        self._events.put_targets(Rule="rule", EventBusName=self.name, Targets=targets)
        return self

    def __exit__(self, *_: object) -> None:
        # moto keeps what it has for all servers of a process; the bus goes with its rules.
        self._events.delete_event_bus(Name=self.name)
        self._sqs.delete_queue(QueueUrl=self._queue)
        self._server.shutdown()
        self._server.server_close()

    def _app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if operation == "PutEvents":
            self.puts.append(json.loads(request.get_data(parse_form_data=False))["Entries"])
        faults = self.faults.get(operation)
        answer = faults.popleft()(request) if faults else None
        if answer is not None:
            return answer(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(request.get_data())
        return self._moto(environ, start_response)
