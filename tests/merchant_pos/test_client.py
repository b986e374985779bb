"""merchant_pos.client against a real HTTP server that misbehaves: each fault has its error, httpx's never escape."""

from __future__ import annotations

import gzip
import inspect
import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from merchant_pos.client import COSE, MAX_ANSWER, PROBLEM, HttpServer
from merchant_pos.ports import Expected
from support.keys import TILL
from support.samples import BATCH
from support.till_http import OperatorServer, operator_server
from wallet_core.errors import ConfigurationError, ExitCode, ServerUnreachableError, SettlementError
from wallet_core.messages import DepositAnswer, Signed, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE

BODY = Signed.sign(BATCH, TILL.key).to_bytes()


@pytest.fixture
def server() -> Iterator[OperatorServer]:
    with operator_server() as made:
        yield made


def answering(reply: httpx.Response | Exception) -> HttpServer:
    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(reply, Exception):
            raise reply
        return reply

    return HttpServer("http://operator.example", transport=httpx.MockTransport(handle))


def problem(name: str, status: int, **members: object) -> httpx.Response:
    document = {"type": f"urn:ecny:problem:{name}", "title": "T", "detail": "D", "next_step": "N", **members}
    return response(status, json.dumps(document).encode(), PROBLEM)


def response(status: int, body: bytes, kind: str = "text/html", **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={"content-type": kind, **headers}, stream=httpx.ByteStream(body))


# Over the wire ------------------------------------------------------------------------------------------------------


def test_a_batch_goes_as_its_own_bytes_and_the_answer_comes_back(server: OperatorServer) -> None:
    with HttpServer(server.url + "/") as client:
        answer = client.deposit(BODY)
    assert isinstance(answer, bytes)
    assert parse(DepositAnswer, answer, max_size=MAX_ANSWER_SIZE).message.number == 1
    ((path, headers, body),) = server.posts
    assert (path, headers["Content-Type"], body) == ("/v1/deposits", COSE, BODY)


@pytest.mark.parametrize("fault", ["500", "problem", "drop", "after", "half", "long"])
def test_no_usable_answer_is_unreachable_and_the_next_call_works(server: OperatorServer, fault: str) -> None:
    server.faults = [fault]
    with HttpServer(server.url) as client:
        with pytest.raises(ServerUnreachableError) as caught:
            client.deposit(BODY)
        assert caught.value.exit_code is ExitCode.SERVER_UNREACHABLE
        assert isinstance(client.deposit(BODY), bytes)
    assert server.posts[0][2] == server.posts[1][2]


def test_a_silent_server_times_out(server: OperatorServer) -> None:
    server.faults = ["silent"]
    with HttpServer(server.url, timeout_s=0.1) as client, pytest.raises(ServerUnreachableError, match="in time"):
        client.deposit(BODY)


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses connections
        with (
            HttpServer(f"http://127.0.0.1:{taken.getsockname()[1]}") as client,
            pytest.raises(ServerUnreachableError),
        ):
            client.deposit(BODY)


def test_a_proxy_of_the_environment_is_not_asked(server: OperatorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with HttpServer(server.url) as client:
        assert isinstance(client.deposit(BODY), bytes)


# Replies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["malformed", "not-verified", "batch-number-used", "not-authorised"])
def test_a_problem_is_the_servers_no(name: str) -> None:
    with answering(problem(name, 422)) as client, pytest.raises(SettlementError) as caught:
        client.deposit(BODY)
    error = caught.value
    assert (error.problem, error.status, error.message, error.next_step) == (name, 422, f"{name}: D", "N")
    assert not isinstance(error, ServerUnreachableError)


@pytest.mark.parametrize(("name", "status"), [("in-progress", 409), ("internal-error", 500), ("not-ready", 503)])
def test_a_problem_that_passes_leaves_the_work_queued(name: str, status: int) -> None:
    with answering(problem(name, status)) as client, pytest.raises(ServerUnreachableError) as caught:
        client.deposit(BODY)
    assert caught.value.problem == name


def test_a_gap_says_what_is_expected() -> None:
    reply = problem("batch-out-of-order", 409, expected_number=3, last_hash="ab" * 32)
    with answering(reply) as client:
        assert client.deposit(BODY) == Expected(3, b"\xab" * 32)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"expected_number": "3", "last_hash": "ab" * 32},
        {"expected_number": 3, "last_hash": "ab"},
        {"expected_number": 3, "last_hash": "zz" * 32},
        {"expected_number": 0, "last_hash": "ab" * 32},
        {"expected_number": True, "last_hash": "ab" * 32},
    ],
)
def test_a_gap_without_its_facts_is_only_a_no(members: dict[str, object]) -> None:
    with answering(problem("batch-out-of-order", 409, **members)) as client, pytest.raises(SettlementError):
        client.deposit(BODY)


@pytest.mark.parametrize(
    "reply",
    [
        response(200, b"<html>sign in to the Wi-Fi</html>"),
        response(200, b""),
        response(302, b"", location="http://elsewhere.example"),
        response(204, b""),
        response(404, b"no"),
        response(422, b"{", PROBLEM),
        response(422, b"[" * 100_000, PROBLEM),
        response(200, bytes(MAX_ANSWER + 1), COSE),
    ],
    ids=["portal", "empty", "redirect", "204", "404", "half problem", "deep problem", "too long"],
)
def test_what_is_no_answer_of_the_server_is_unreachable(reply: httpx.Response) -> None:
    with answering(reply) as client, pytest.raises(ServerUnreachableError):
        client.deposit(BODY)


def test_a_packed_answer_is_not_unpacked(server: OperatorServer) -> None:
    server.faults = [(200, COSE, gzip.compress(bytes(10**8), 1))]
    with HttpServer(server.url) as client, pytest.raises(ServerUnreachableError, match="longer than"):
        client.deposit(BODY)
    assert server.posts[0][1]["Accept-Encoding"] == "identity"


def test_every_exception_of_the_http_library_is_translated() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(kind, httpx.HTTPError) and kind is not httpx.HTTPStatusError
    ]
    assert len(kinds) > 12
    for kind in kinds:
        with answering(kind("of the library")) as client, pytest.raises(ServerUnreachableError) as caught:
            client.deposit(BODY)
        assert isinstance(caught.value.__cause__, httpx.HTTPError)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "operator.example",
        "ftp://operator.example",
        "http://",
        "http://u:p@operator.example",
        "http://o?x=1",
        "http://[::zz]",
        "h\0",
    ],
)
def test_an_address_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        HttpServer(url)


def test_an_enrolment_that_is_no_json_object_is_unreachable() -> None:
    for body in (b"[]", b"{", b"null"):
        with answering(response(200, body, "application/json")) as client, pytest.raises(ServerUnreachableError):
            client.enrol("code", b"request")
