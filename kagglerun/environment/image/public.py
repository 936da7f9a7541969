"""What `--public` opens, and what it wants before it does."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kagglerun.environment.image.gate import Network, Opening
from kagglerun.environment.image.services import TOKEN, Service, check_token
from kagglerun.environment.image.sshd import usable_keys
from kagglerun.errors import ConfigError, ImageError, PublicRefused

_WIDEST = {4: 8, 6: 16}
_DAYS = "30"


@dataclass(frozen=True)
class Exposure:
    """What the user says about callers from elsewhere.

    Attributes:
        networks: address ranges that may call.
        key_file: public keys that SSH lets in.
        certificate: PEM file with certificate and private key; None makes one for the time being.
        host: address of this machine that is opened; its loopback keeps the same ports for itself.
    """

    networks: tuple[str, ...]
    key_file: Path | None
    certificate: Path | None
    host: str


def check_exposure(exposure: Exposure, services: Sequence[Service], environment: Mapping[str, str]) -> None:
    """Refuse what nobody should open: everything must be guarded, and for a named range of addresses.

    Raises:
        PublicRefused: a service has no login of its own; a key, a token or the range is missing.
        ConfigError: a range or the token cannot be used.
    """
    open_to_all = [service.name for service in services if service.login is None]
    if open_to_all:
        raise PublicRefused(
            f"{' and '.join(open_to_all)} would let in everybody: it asks for no password",
            hint="reach it through SSH: ssh -p 2222 -L 5000:127.0.0.1:5000 kagglerun@MACHINE",
        )
    if not exposure.networks:
        raise PublicRefused("--public wants the addresses that may call", hint="--from 203.0.113.0/24")
    read_networks(exposure.networks)
    names = [service.name for service in services]
    if "ssh" in names and (exposure.key_file is None or not usable_keys(exposure.key_file.read_text("utf-8"))):
        raise PublicRefused("--public wants the key that SSH shall let in", hint="--key ~/.ssh/id_ed25519.pub")
    if "jupyter" in names:
        if not environment.get(TOKEN):
            raise PublicRefused(
                f"--public wants a token of yours for Jupyter, in {TOKEN}",
                hint=f"export {TOKEN}=$(openssl rand -hex 32)",
            )
        check_token(environment[TOKEN])


def read_networks(words: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and ranges as networks.

    Raises:
        ConfigError: one is neither.
        PublicRefused: one is so wide that it is nearly everybody.
    """
    networks = []
    for word in words:
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ConfigError(f"--from {word!r} is no address and no range", hint="--from 203.0.113.0/24") from None
        if network.prefixlen < _WIDEST[network.version]:
            raise PublicRefused(f"--from {word} is nearly everybody", hint="--from 203.0.113.0/24")
        networks.append(network)
    return tuple(networks)


@contextmanager
def openings(
    exposure: Exposure, services: Sequence[Service], ports: Mapping[str, int]
) -> Iterator[tuple[list[Opening], str | None]]:
    """The ports to open, the same ones as on loopback, with TLS before what does not encrypt.

    Args:
        exposure: checked before.
        services: behind the gate.
        ports: of this machine's loopback, by service.

    Yields:
        The openings, and the certificate's SHA-256 fingerprint where TLS is used.

    Raises:
        ImageError: the certificate cannot be made or read.
    """
    networks = read_networks(exposure.networks)
    encrypted = any(service.health is not None for service in services)
    with tempfile.TemporaryDirectory(prefix="kagglerun-") as private:
        file = (exposure.certificate or _made_certificate(Path(private))) if encrypted else None
        context = None if file is None else _tls(file)
        fingerprint = None if file is None else _fingerprint(file)
        yield (
            [
                Opening(exposure.host, ports[one.name], ports[one.name], networks, context if one.health else None)
                for one in services
            ],
            fingerprint,
        )


def own_address() -> str:
    """This machine's address as others most likely reach it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: never routed
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _made_certificate(folder: Path) -> Path:
    """A certificate and its key, in one file that nobody else reads."""
    file, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", _DAYS, "-subj", "/CN=kagglerun", "-keyout", str(key), "-out", str(file)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise ImageError("openssl is not installed", hint="--certificate FILE") from error
    except subprocess.CalledProcessError as error:
        raise ImageError(f"no certificate was made: {error.stderr.strip()}") from error
    file.write_bytes(file.read_bytes() + key.read_bytes())
    return file


def _tls(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(file)
    except OSError as error:
        raise ImageError(f"{file} is no PEM file with a certificate and its private key") from error
    return context


def _fingerprint(file: Path) -> str:
    """As browsers show it."""
    text = file.read_text("ascii", errors="replace")
    end = "-----END CERTIFICATE-----"
    start = text.index("-----BEGIN CERTIFICATE-----")
    der = ssl.PEM_cert_to_DER_cert(text[start : text.index(end) + len(end)])
    digest = hashlib.sha256(der).hexdigest()
    return ":".join(digest[i : i + 2].upper() for i in range(0, len(digest), 2))
