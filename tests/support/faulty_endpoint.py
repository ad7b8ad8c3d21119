"""A SageMaker endpoint on real sockets: it answers as scripts of jobs say, and fails as scripts of faults say.

As a program it serves jobs with random faults: python tests/support/faulty_endpoint.py RATE JOBS SECONDS
"""

import json
import random
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from automl_waiter._model.errors import TransientKind
from automl_waiter.testing import Timeline

ACCOUNT = "123456789012"
PAGE = "<html><head><title>Welcome to our guests' network</title></head><body>Please log in</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection, one after another."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        """Send the next fault of the job's script, or else a good response."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        name, self.status_equals = request.get("AutoMLJobName", ""), request.get("StatusEquals")
        self.job_name = name
        with self.server.lock:
            self.server.calls.append((operation, name, time.monotonic()))
        fault = self.server.next_fault(self, name)
        with suppress(BrokenPipeError, ConnectionResetError):
            if fault is not None and fault is not Handler.answer_rightly:
                fault(self)
            else:
                self.answer(operation, name)

    def answer(self, operation: str, name: str) -> None:
        """Send a good response."""
        response = self.server.response(operation, name, self.status_equals)
        if response is None:
            self.fail(400, "ResourceNotFound", f"Amazon SageMaker can't find an AutoML job called {name}.")
        else:
            self.reply(200, json.dumps(response, default=datetime.timestamp))

    def answer_rightly(self) -> None:
        """Stand for a good response among faults."""

    def fail(self, status: int, code: str, message: str = "said the service", date: datetime | None = None) -> None:
        """Respond with an AWS error."""
        self.reply(status, json.dumps({"__type": code, "message": message}), date=date)

    def reply(
        self,
        status: int,
        body: str,
        content: str = "application/x-amz-json-1.1",
        *,
        sent: float = 1.0,
        date: datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send that share of a response."""
        encoded = body.encode()
        self.send_response_only(status)
        self.send_header("Date", format_datetime(date or datetime.now(UTC), usegmt=True))
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(encoded)))
        if "amz-json" in content:
            self.send_header("x-amzn-RequestId", "5f0c1d7e-0000-4000-8000-000000000000")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(encoded[: int(len(encoded) * sent)])
        if sent < 1:
            self.hang_up()

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, with a TCP reset if requested."""
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR) if not reset else self.connection.close()

    def is_silent(self, seconds: float = 60.0) -> None:
        """Send nothing for some seconds."""
        self.server.closing.wait(seconds)
        self.close_connection = True


Fault = Callable[[Handler], None]


@dataclass
class Lasting:
    """A fault that repeats until its time has passed."""

    fault: Fault
    is_over: Callable[[Handler], bool]

    def __call__(self, handler: Handler) -> None:
        self.fault(handler)


def lasting(seconds: float, fault: Fault) -> Lasting:
    """Return a fault that lasts for some seconds from its first call on."""
    begun: list[float] = []

    def is_over(_: Handler) -> bool:
        begun[:] = begun or [time.monotonic()]
        return time.monotonic() >= begun[0] + seconds

    return Lasting(fault, is_over)


def expired_key(access_key: str) -> Lasting:
    """Return a fault for requests with this key, which has expired."""
    return Lasting(
        service_error(400, "ExpiredTokenException"),
        lambda handler: f"Credential={access_key}/" not in handler.headers["Authorization"],
    )


def not_found(handler: Handler) -> None:
    """Respond that the job does not exist yet."""
    handler.fail(400, "ResourceNotFound")


def service_error(status: int, code: str) -> Fault:
    """Return an AWS error."""
    return lambda handler: handler.fail(status, code)


def page(status: int) -> Fault:
    """Return a page that is not from AWS."""
    return lambda handler: handler.reply(status, PAGE, "text/html", headers={"Location": "http://portal.invalid/"})


def body(text: str) -> Fault:
    """Return a 200 with this body."""
    return lambda handler: handler.reply(200, text)


def cut(handler: Handler) -> None:
    """Send a complete HTTP response whose JSON is truncated."""
    handler.reply(200, '{"AutoMLJobName": "churn", "AutoMLJobStatus": "Comple')


def half(handler: Handler) -> None:
    """Send half of the body, then close the connection."""
    handler.reply(200, json.dumps({"AutoMLJobName": "churn", "AutoMLJobStatus": "Completed"}), sent=0.5)


def reset_in_body(handler: Handler) -> None:
    """Send half of the body, then reset the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"AutoMLJobName": ')
    handler.hang_up(reset=True)


def altered(**members: Any) -> Fault:
    """Return a response to the request with these members."""

    def answer(handler: Handler) -> None:
        response = handler.server.response("DescribeAutoMLJobV2", handler.job_name) or {}
        handler.reply(200, json.dumps(response | members, default=datetime.timestamp))

    return answer


def garbage(handler: Handler) -> None:
    """Send bytes that are not HTTP."""
    handler.wfile.write(b"\x00\x15\xff220 welcome\r\n\r\n")
    handler.hang_up()


def skewed(handler: Handler) -> None:
    """Return the error for a signature that is too old, because this machine's clock is behind."""
    handler.fail(400, "InvalidSignatureException", date=datetime.now(UTC) + timedelta(hours=3))


def mismatch(handler: Handler) -> None:
    """Return the error for a wrong signature, which repeats the expected request with its session token."""
    token = handler.headers.get("X-Amz-Security-Token", "")
    handler.fail(
        403, "SignatureDoesNotMatch", f"The Canonical String should have been 'POST\nx-amz-security-token:{token}'"
    )


THROTTLING = (
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled"),
    *("TooManyRequestsException", "ProvisionedThroughputExceededException", "TransactionInProgressException"),
    *("RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException", "SlowDown"),
    *("PriorRequestNotComplete", "EC2ThrottledException"),
)

NESTED: Any = "bottom"
for _ in range(900):
    NESTED = [NESTED]
WRONG_TYPES = altered(
    EndTime="soon",
    FailureReason=NESTED,
    BestCandidate=NESTED,
    PartialFailureReasons=["none", {"PartialFailureMessage": "one"}],
    AutoMLProblemTypeConfig={"TabularJobConfig": "none"},
    ResolvedAttributes={"CompletionCriteria": {"MaxAutoMLJobRuntimeInSeconds": "abc"}},
)
"""The answer to the request, in which no optional member is what it should be."""

PASSING_FAULTS: dict[str, tuple[TransientKind, Fault]] = {
    **{f"HTTP 400 {code}": (TransientKind.THROTTLED, service_error(400, code)) for code in THROTTLING},
    "HTTP 429 without a code": (TransientKind.THROTTLED, page(429)),
    "HTTP 500 InternalFailure": (TransientKind.SERVER, service_error(500, "InternalFailure")),
    "HTTP 503 ServiceUnavailable": (TransientKind.SERVER, service_error(503, "ServiceUnavailable")),
    "HTTP 408 RequestTimeout": (TransientKind.SERVER, service_error(408, "RequestTimeout")),
    "HTTP 502 of a load balancer": (TransientKind.SERVER, page(502)),
    "HTTP 504 of a load balancer": (TransientKind.SERVER, page(504)),
    "a reset before the answer": (TransientKind.CONNECTION, lambda handler: handler.hang_up(reset=True)),
    "a reset in the body": (TransientKind.CONNECTION, reset_in_body),
    "a connection closed without an answer": (TransientKind.CONNECTION, Handler.hang_up),
    "half a body": (TransientKind.RESPONSE, half),
    "no HTTP": (TransientKind.CONNECTION, garbage),
    "silence": (TransientKind.TIMEOUT, Handler.is_silent),
    "a JSON that is cut": (TransientKind.RESPONSE, cut),
    "an empty body": (TransientKind.RESPONSE, body("")),
    "a captive portal's page with 200": (TransientKind.RESPONSE, page(200)),
    "a captive portal's redirect": (TransientKind.RESPONSE, page(302)),
    "a captive portal's HTTP 511": (TransientKind.SERVER, page(511)),
    "a proxy's HTTP 403": (TransientKind.RESPONSE, page(403)),
    "a proxy's HTTP 404": (TransientKind.RESPONSE, page(404)),
    "a JSON list": (TransientKind.RESPONSE, body("[]")),
    "a JSON string": (TransientKind.RESPONSE, body('"ok"')),
    "a JSON of somebody else": (TransientKind.RESPONSE, body('{"status": "up"}')),
    "a date that is none": (TransientKind.RESPONSE, body('{"AutoMLJobName": "churn", "CreationTime": "soon"}')),
    "a CreationTime that overflows": (TransientKind.RESPONSE, altered(CreationTime="0001-01-01T00:00:00+14:00")),
    "the answer to another request": (
        TransientKind.FOREIGN,
        altered(AutoMLJobName="other", AutoMLJobArn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:automl-job/other"),
    ),
    "a signature that is too old": (TransientKind.CLOCK, skewed),
}
"""Each fault that may pass, with the kind of failure that it is."""

PERMANENT_FAULTS: dict[str, tuple[str, int, Fault]] = {
    "AccessDeniedException": ("AccessDenied", 77, service_error(400, "AccessDeniedException")),
    "UnrecognizedClientException": ("AccessDenied", 77, service_error(400, "UnrecognizedClientException")),
    "InvalidClientTokenId": ("AccessDenied", 77, service_error(403, "InvalidClientTokenId")),
    "SignatureDoesNotMatch": ("AccessDenied", 77, mismatch),
    "NotAuthorizedException": ("AccessDenied", 77, service_error(400, "NotAuthorizedException")),
    "OptInRequired": ("AccessDenied", 77, service_error(403, "OptInRequired")),
    "ValidationException": ("InvalidRequest", 2, service_error(400, "ValidationException")),
    "UnknownOperationException": ("InvalidRequest", 2, service_error(400, "UnknownOperationException")),
}
"""Each fault that ends a wait at once, with the class of its error and its exit code."""


@dataclass
class Job:
    """A job of the endpoint: its script, and the faults before its good responses."""

    name: str
    timeline: Timeline
    faults: deque[Fault]
    created: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:automl-job/{self.name.lower()}"

    @property
    def elapsed(self) -> float:
        return (datetime.now(UTC) - self.created).total_seconds()


class Server(ThreadingHTTPServer):
    """The HTTP server and its state."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.jobs: dict[str, Job] = {}
        self.calls: list[tuple[str, str, float]] = []
        self.closing = threading.Event()
        self.random_fault: Callable[[], Fault | None] = lambda: None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that closed the connection."""

    def next_fault(self, handler: Handler, name: str) -> Fault | None:
        with self.lock:
            job = self.jobs.get(name.lower())
            while job is not None and job.faults:
                fault = job.faults[0]
                if not isinstance(fault, Lasting):
                    return job.faults.popleft()
                if not fault.is_over(handler):
                    return fault
                job.faults.popleft()
            return self.random_fault()

    def response(self, operation: str, name: str, status: str | None = None) -> dict[str, Any] | None:
        with self.lock:
            if operation == "ListAutoMLJobs":
                jobs = [
                    job for job in self.jobs.values() if status in (None, job.timeline.state_at(job.elapsed).status)
                ]
                # A listing does not advance a job of `scripts.Seen`: only polls of the job do.
                return {"AutoMLJobSummaries": [self._describe(job, Timeline.response) for job in jobs]}
            job = self.jobs.get(name.lower())
            if job is None:
                return None
            if operation == "StopAutoMLJob":
                job.timeline = job.timeline.stopped_at(job.elapsed, after=0.5)
                return {}
            if operation == "ListCandidatesForAutoMLJob":
                found = job.timeline.candidates(job.elapsed, name=job.name, created=job.created, arn=job.arn)
                return {"Candidates": found}
            return self._describe(job)

    @staticmethod
    def _describe(job: Job, response: Callable[..., dict[str, Any]] | None = None) -> dict[str, Any]:
        response = partial(response, job.timeline) if response else job.timeline.response
        return response(job.elapsed, name=job.name, created=job.created, arn=job.arn)


class FaultyEndpoint:
    """A SageMaker endpoint on 127.0.0.1 with scripted faults."""

    def __init__(self, port: int = 0) -> None:
        self.server = Server(port)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=partial(self.server.serve_forever, 0.05), daemon=True)

    def add(self, name: str, timeline: Timeline, faults: Iterable[Fault] = (), *, age: float = 0.0) -> str:
        """Add a job that was created `age` seconds ago."""
        created = datetime.now(UTC) - timedelta(seconds=age)
        with self.server.lock:
            self.server.jobs[name.lower()] = Job(name, timeline, deque(faults), created)
        return name

    def then(self, name: str, *faults: Fault) -> None:
        """Set the faults of the next calls for a job."""
        with self.server.lock:
            self.server.jobs[name.lower()].faults.extend(faults)

    def calls(self, operation: str, name: str) -> list[float]:
        """Return when a job was described or stopped."""
        with self.server.lock:
            return [at for called, job, at in self.server.calls if (called, job) == (operation, name)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.closing.set()
        self.server.shutdown()
        self.server.server_close()


def main(rate: float, jobs: int, seconds: float) -> None:
    """Serve so many jobs that complete after these seconds or a little sooner, with random faults at this rate."""
    chance = random.Random(0)
    faults = [fault for _, fault in PASSING_FAULTS.values()]
    with FaultyEndpoint() as endpoint:
        endpoint.server.random_fault = lambda: chance.choice(faults) if chance.random() < rate else None
        for number in range(jobs):
            end = seconds * chance.uniform(0.8, 1)
            phases = [(0, "InProgress", "Starting"), (end / 2, "InProgress", "ModelTuning")]
            endpoint.add(f"job-{number}", Timeline([*phases, (end, "Completed", "Completed")]))
        print(endpoint.url, flush=True)
        sys.stdin.read()  # until the parent process exits


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
