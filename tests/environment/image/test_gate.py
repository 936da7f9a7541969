"""The gate of `--public`, with real connections; what it wants before it opens."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kagglerun.environment.image.gate import Opening, may_enter, open_gate
from kagglerun.environment.image.public import Exposure, check_exposure, openings, read_networks
from kagglerun.environment.image.services import find_services
from kagglerun.errors import ConfigError, ImageError, PublicRefused
from tests.environment.image.made_services import PUBLIC_KEY, free_port, need

_HERE = (ipaddress.ip_network("127.0.0.0/8"),)
_ELSEWHERE = (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32"))
_TOKEN = "a" * 32


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


class _Servers(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def echo() -> Iterator[int]:
    """A port whose server sends back what it gets."""
    with _Servers(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("203.0.113.7", True),
        ("203.0.114.7", False),
        ("127.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:203.0.113.7", True),
        ("fe80::1%eth0", False),
    ],
)
def test_callers_are_admitted_by_their_network(address: str, admitted: bool) -> None:
    assert may_enter(address, _ELSEWHERE) is admitted


def test_megabytes_pass_both_ways_unchanged(echo: int) -> None:
    port, content = free_port(), bytes(range(256)) * 20_000
    with open_gate([Opening("127.0.0.1", port, echo, _HERE)]) as callers:
        with socket.create_connection(("127.0.0.1", port)) as caller:
            sender = threading.Thread(target=lambda: (caller.sendall(content), caller.shutdown(socket.SHUT_WR)))
            sender.start()
            received = b"".join(iter(lambda: caller.recv(1 << 16), b""))
            sender.join()
        assert received == content
        assert (callers.admitted, callers.refused) == (1, 0)


def test_others_are_cut_off_before_a_byte_is_read(echo: int) -> None:
    port = free_port()
    with open_gate([Opening("127.0.0.1", port, echo, _ELSEWHERE)]) as callers:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as caller, contextlib.suppress(ConnectionError):
                caller.sendall(b"let me in")
                assert caller.recv(10) == b""
        assert (callers.admitted, callers.refused) == (0, 3)


def test_the_port_closes_with_the_gate_and_its_callers_with_it(echo: int) -> None:
    port = free_port()
    with open_gate([Opening("127.0.0.1", port, echo, _HERE)]):
        caller = socket.create_connection(("127.0.0.1", port))
        caller.sendall(b"x")
        assert caller.recv(1) == b"x"
    with caller, contextlib.suppress(ConnectionError):
        assert caller.recv(1) == b""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_server_that_is_not_there_ends_the_call(echo: int) -> None:
    port = free_port()
    with (
        open_gate([Opening("127.0.0.1", port, free_port(), _HERE)]),
        socket.create_connection(("127.0.0.1", port)) as caller,
    ):
        assert caller.recv(1) == b""


def test_a_port_that_is_taken_is_named_and_the_others_stay_closed(echo: int) -> None:
    port = free_port()
    with (
        pytest.raises(ImageError, match=f"port {echo} of 127.0.0.1 cannot be opened"),
        open_gate([Opening("127.0.0.1", port, echo, _HERE), Opening("127.0.0.1", echo, echo, _HERE)]),
    ):
        pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a public key."""
    file = tmp_path / "id.pub"
    file.write_text(PUBLIC_KEY)
    return file


def test_what_does_not_encrypt_is_opened_by_tls(echo: int, key_file: Path) -> None:
    need("openssl")
    exposure = Exposure(("127.0.0.0/8",), key_file, None, "127.0.0.2")
    services = find_services(["jupyter", "ssh"])
    with openings(exposure, services, {"jupyter": echo, "ssh": echo + 1}) as (opened, fingerprint):
        assert [(one.port, one.target, one.tls is not None) for one in opened] == [
            (echo, echo, True),
            (echo + 1, echo + 1, False),
        ]
        assert fingerprint is not None
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with (
            open_gate(opened[:1]),
            socket.create_connection(("127.0.0.2", echo)) as plain,
            trusting.wrap_socket(plain) as caller,
        ):
            caller.sendall(b"token")
            assert caller.recv(5) == b"token"
            seen = caller.getpeercert(binary_form=True)
            assert seen is not None
            assert hashlib.sha256(seen).hexdigest().upper() == fingerprint.replace(":", "")


def test_a_caller_who_does_not_speak_tls_gets_nothing(echo: int, key_file: Path) -> None:
    need("openssl")
    exposure = Exposure(("127.0.0.0/8",), None, None, "127.0.0.2")
    with openings(exposure, find_services(["jupyter"]), {"jupyter": echo}) as (opened, _), open_gate(opened):
        connection = http.client.HTTPConnection("127.0.0.2", echo, timeout=20)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            connection.request("GET", "/")
            connection.getresponse()
        connection.close()


def test_a_file_that_is_no_certificate_is_refused(key_file: Path) -> None:
    exposure = Exposure(("10.0.0.0/8",), key_file, key_file, "127.0.0.2")
    with (
        pytest.raises(ImageError, match="no PEM file with a certificate"),
        openings(exposure, find_services(["jupyter"]), {"jupyter": 1}),
    ):
        pass


def test_public_wants_a_key_a_token_and_an_address_range(key_file: Path) -> None:
    services = find_services(["jupyter", "ssh"])
    full = Exposure(("203.0.113.0/24",), key_file, None, "192.0.2.1")
    check_exposure(full, services, {"JUPYTER_TOKEN": _TOKEN})
    without_range = Exposure((), key_file, None, "192.0.2.1")
    without_key = Exposure(("203.0.113.0/24",), None, None, "192.0.2.1")
    for exposure, environment, wanted in (
        (without_range, {"JUPYTER_TOKEN": _TOKEN}, "the addresses that may call"),
        (without_key, {"JUPYTER_TOKEN": _TOKEN}, "the key"),
        (full, {}, "a token of yours"),
    ):
        with pytest.raises(PublicRefused, match=wanted) as caught:
            check_exposure(exposure, services, environment)
        assert caught.value.exit_code == 3
        assert caught.value.hint


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_services_without_a_login_are_never_opened(name: str, key_file: Path) -> None:
    exposure = Exposure(("203.0.113.0/24",), key_file, None, "192.0.2.1")
    with pytest.raises(PublicRefused, match=f"{name} would let in everybody"):
        check_exposure(exposure, find_services([name, "ssh"]), {})


@pytest.mark.parametrize("word", ["0.0.0.0/0", "0.0.0.0/1", "::/0", "2000::/3"])
def test_ranges_that_are_nearly_everybody_are_refused(word: str) -> None:
    with pytest.raises(PublicRefused, match="nearly everybody"):
        read_networks([word])


@pytest.mark.parametrize("word", ["", "home", "1.2.3", "1.2.3.4/33"])
def test_words_that_are_no_range_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="no address and no range"):
        read_networks([word])
