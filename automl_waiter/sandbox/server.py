"""The sandbox as an HTTP endpoint on 127.0.0.1."""

from __future__ import annotations

import errno
import functools
import math
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from automl_waiter.sandbox import SandboxUnavailable
from automl_waiter.sandbox.paging import RequestRefused
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.timeline import Timeline

try:
    import flask
    import flask_cors  # noqa: F401 - moto's server imports it
    from moto.core.responses import BaseResponse
    from moto.core.utils import convert_to_flask_response
    from moto.moto_server import werkzeug_app
    from werkzeug.http import http_date
    from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

    from automl_waiter.sandbox.backend import SCENARIO_TAG, ScriptedJob, refusal, response_class
    from automl_waiter.sandbox.logs import logs_class
    from automl_waiter.sandbox.requests import check_request, problem_of_sender
except ImportError as error:
    raise SandboxUnavailable(
        f"the sandbox needs more libraries ({error.name} is missing): pip install moto flask flask-cors"
    ) from error

# How soon the server notices that it is to stop. Its default, half a second, is most of the time of a short test.
_STOPS_WITHIN_S = 0.05


def _handler(now: Callable[[], datetime]) -> type[WSGIRequestHandler]:
    """Return a handler of connections that has this clock and logs nothing."""

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def date_time_string(self, _: float | None = None) -> str:
            """Return the value of the header Date: a wait computes a job's age with it."""
            return http_date(now())

        def log(self, *_: Any, **__: Any) -> None:
            """Log nothing: the sandbox's user wants to read neither requests nor what is wrong with them."""

    return Handler


def _app(services: Mapping[str, type[BaseResponse]]) -> flask.Flask:
    """Return the application that answers for these services, by botocore's names."""
    app = flask.Flask("automl-waiter-sandbox", static_folder=None)
    # Newer versions of moto need their own request class.
    app.request_class = getattr(werkzeug_app, "BackendRequest", app.request_class)
    dispatch = {name: convert_to_flask_response(response.dispatch) for name, response in services.items()}

    def answer() -> Any:
        """Answer any request: moto must encode no error, because it would read the machine's AWS configuration."""
        request = flask.request
        if problem := problem_of_sender(request.headers):
            return flask.Response(f"{problem}\n", 403, content_type="text/plain; charset=utf-8")
        try:
            if (request.method, request.full_path) != ("POST", "/?"):
                raise RequestRefused("the sandbox answers POST / only", "UnknownOperationException")
            body = request.get_data()
            service = check_request(request.headers.get("X-Amz-Target", ""), body)
            # moto would read the body of another type, such as curl's, as a form.
            request.environ["CONTENT_TYPE"] = "application/x-amz-json-1.1"
            return dispatch[service]()
        except RequestRefused as error:
            return _refused(400, error.code, str(error))
        except NotImplementedError as error:
            return _refused(400, "UnknownOperationException", str(error))
        except Exception as error:
            return _refused(500, "InternalFailure", f"{type(error).__name__}: {error}")

    app.before_request(answer)  # whatever its path and method
    return app


def _refused(status: int, code: str, message: str) -> flask.Response:
    status, headers, body = refusal(status, code, message)
    return flask.Response(body, status, headers)


class Sandbox:
    """A local endpoint of SageMaker with scripted AutoML jobs, and of CloudWatch Logs with the logs of the failed ones.

    It stores nothing, and accepts any credentials.

    Args:
        port: 0 picks a free one.
        scenario: The scenario of jobs without the tag `automl-waiter:scenario`; a key of `scenarios`.
        speed: Seconds of a job that pass in one second.
        scenarios: The scripts by name, if you play your own.
        now: Returns the time of day (UTC), if that is not the machine's.

    Raises:
        OSError: The port is not available, usually because it is in use.
        ValueError: There is no such scenario, or the speed is not above 0.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        scenario: str = "completed",
        speed: float = 1.0,
        scenarios: Mapping[str, Timeline] = SCENARIOS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if scenario not in scenarios:
            raise ValueError(f"{scenario!r} is not a scenario: {', '.join(scenarios)}")
        if not 0 < speed < math.inf:
            raise ValueError(f"a speed is a number above 0, unlike {speed}")
        self._speed = speed
        self._responses = response_class(scenarios, scenario, speed, now)
        self.app = _app({"sagemaker": self._responses, "logs": logs_class(self._responses)})
        """The WSGI application."""
        try:
            # Bound here, because werkzeug prints its own message for a port in use, and exits.
            listener = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
            raise OSError(f"port {port} on 127.0.0.1 {reason}: choose another, or 0 for a free one") from error
        with listener:
            self._server: BaseWSGIServer = make_server(
                "127.0.0.1", port, self.app, threaded=True, request_handler=_handler(now), fd=listener.fileno()
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_STOPS_WITHIN_S], name="automl-waiter-sandbox", daemon=True
        )

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return f"http://127.0.0.1:{self._server.port}"

    def start(self) -> None:
        """Start answering requests."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering requests, and drop the jobs."""
        # shutdown() would wait for ever if the server never started.
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, region: str = "us-east-1", *, service: str = "sagemaker") -> Any:
        """Return a boto3 client for this endpoint, with dummy credentials and no machine configuration."""
        import boto3
        import botocore.session
        from botocore.config import Config

        # (config key, variable, default, conversion): no file and no variable of the machine is read, so no real
        # credentials, profile or endpoint can be used.
        nowhere = (None, None, os.devnull, None)
        session = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": nowhere,
                "credentials_file": nowhere,
                "defaults_mode": (None, None, "legacy", None),
            }
        )
        config = Config(proxies={}, retries={"total_max_attempts": 1, "mode": "standard"})
        return boto3.Session("testing", "testing", region_name=region, botocore_session=session).client(
            service, endpoint_url=self.url, config=config
        )

    def create_job(self, name: str, *, scenario: str | None = None, age: float = 0.0) -> dict[str, Any]:
        """Create a tabular job, and return the response of CreateAutoMLJobV2.

        Args:
            name: Its name.
            scenario: Its scenario; None: the sandbox's.
            age: The seconds of the job that have passed already.
        """
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://amzn-s3-demo-bucket/train/"}}
        request: dict[str, Any] = {
            "AutoMLJobName": name,
            "AutoMLJobInputDataConfig": [{"ChannelType": "training", "DataSource": source}],
            "OutputDataConfig": {"S3OutputPath": "s3://amzn-s3-demo-bucket/output"},
            "AutoMLProblemTypeConfig": {
                "TabularJobConfig": {"ProblemType": "BinaryClassification", "TargetAttributeName": "churned"}
            },
            "AutoMLJobObjective": {"MetricName": "F1"},
            "RoleArn": "arn:aws:iam::123456789012:role/example",
        }
        if scenario is not None:
            request["Tags"] = [{"Key": SCENARIO_TAG, "Value": scenario}]
        if scenario == "deploy-error":
            request["ModelDeployConfig"] = {"AutoGenerateEndpointName": True}
        response: dict[str, Any] = self._client.create_auto_ml_job_v2(**request)
        if age:
            self._job(name).created -= timedelta(seconds=age / self._speed)
        return response

    def advance(self, name: str) -> None:
        """Let the next status of a job that it created come now, and the later ones as much sooner."""
        job = self._job(name)
        job.timeline = job.timeline.advanced_at(job.elapsed)

    def _job(self, name: str) -> ScriptedJob:
        """Return a job that `create_job` made."""
        return self._responses.backends["us-east-1", "123456789012"].job(name)

    @functools.cached_property
    def _client(self) -> Any:
        # One client for all calls of create_job: clients are large and slow to make.
        return self.client()
