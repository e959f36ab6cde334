# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's certificate authority: what its services prove to each other with.

It lives on the host alone (``.playground/tls``). A machine gets the authority's certificate and,
where it serves, a certificate of its own; the authority's key never leaves the host. Profiles
follow RFC 5280. ``python -m clusterops.cluster_ca`` issues a certificate for a playbook.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from clusterops.errors import ClusterOpsError
from clusterops.state import State, write_private

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
RENEW_DAYS = 30
"""A certificate with fewer days left is made anew by the next `up`."""
BACKDATED = timedelta(hours=1)
"""Machines whose clocks are behind take it all the same."""


@dataclass(frozen=True)
class Issued:
    """Where a service's certificate and key are; ``changed`` when they were made by this call."""

    certificate: Path
    key: Path
    authority: Path
    changed: bool


def ensure_authority(state: State) -> None:
    """Make the authority's key and certificate. Safe to call again.

    Raises:
        ClusterOpsError: one of the two is there and cannot be read.
    """
    state.create()
    if state.tls_authority.exists() and state.tls_authority_key.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Cluster Operations Playground")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _draft(name, name, key, AUTHORITY_DAYS, authority=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(state.tls_authority_key, _key_text(key))
    write_private(state.tls_authority, _text(certificate))


def issue(state: State, name: str, addresses: Sequence[str]) -> Issued:
    """Have a certificate for a service of machine ``name``; made anew where it does not fit.

    Args:
        addresses: names and IP addresses that clients may call it by, apart from ``name``.

    Raises:
        ClusterOpsError: the authority is damaged.
    """
    ensure_authority(state)
    authority = _load(state.tls_authority)
    places = Issued(
        state.tls_dir / f"{name}.crt", state.tls_dir / f"{name}.key", state.tls_authority, True
    )
    wanted = sorted({name, *addresses})
    try:
        known: x509.Certificate | None = _load(places.certificate)
    except ClusterOpsError:
        known = None
    fits = known and not problem_of(known, authority, wanted, datetime.now(UTC))
    if fits and known and _is_of(places.key, known):
        return Issued(places.certificate, places.key, places.authority, False)
    key = ec.generate_private_key(ec.SECP256R1())
    signer = _load_key(state.tls_authority_key)
    write_private(places.key, _key_text(key))
    write_private(places.certificate, _text(_signed(name, wanted, key, authority, signer)))
    return places


def _is_of(key: Path, certificate: x509.Certificate) -> bool:
    """Whether a key is a certificate's: a run may have been cut off between writing the two."""
    try:
        return _load_key(key).public_key() == certificate.public_key()
    except ClusterOpsError:
        return False


def problem_of(
    certificate: x509.Certificate, authority: x509.Certificate, wanted: list[str], now: datetime
) -> str | None:
    """Why a certificate has to be made anew, or None.

    Args:
        wanted: every name and address that it must be valid for, sorted.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "another authority has signed it"
    if names_of(certificate) != wanted:
        return "it is for other names"
    if certificate.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
        return "it ends soon"
    return None


def names_of(certificate: x509.Certificate) -> list[str]:
    """Names and addresses that a certificate is valid for, sorted."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(name.value) for name in names)


class Expiries:
    """When each certificate of the cluster ends; files are read again when they have changed."""

    def __init__(self, state: State) -> None:
        self._folder = state.tls_dir
        self._known: dict[Path, tuple[int, float]] = {}

    def __call__(self) -> dict[str, float]:
        """Name of the certificate's file without its ending -> Unix time. One that cannot be read
        has ended: 0.
        """
        return {path.stem: self._of(path) for path in sorted(self._folder.glob("*.crt"))}

    def _of(self, path: Path) -> float:
        try:
            changed = path.stat().st_mtime_ns
            if path not in self._known or self._known[path][0] != changed:
                self._known[path] = (changed, _load(path).not_valid_after_utc.timestamp())
            return self._known[path][1]
        except (OSError, ClusterOpsError):
            return 0.0


def _signed(
    name: str,
    wanted: list[str],
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    alternatives = x509.SubjectAlternativeName([_general_name(each) for each in wanted])
    return (
        _draft(_name(name), authority.subject, key, CERTIFICATE_DAYS, authority=False)
        .add_extension(purposes, critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    *,
    authority: bool,
) -> x509.CertificateBuilder:
    """What every certificate has: an authority's signs others, any other one proves itself."""
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=not authority, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=authority, crl_sign=authority,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    basics = x509.BasicConstraints(ca=authority, path_length=0 if authority else None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(basics, critical=True)
        .add_extension(usage, critical=True)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ClusterOpsError(
            f"{path}: not a readable certificate: {error}", remedy=f"remove it, then {_UP}"
        ) from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterOpsError(
            f"{path}: not a readable private key: {error}", remedy=f"remove it, then {_UP}"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ClusterOpsError(f"{path}: not a key of this program", remedy=f"remove it, then {_UP}")
    return key


_UP = "./playground up"


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")


def main(arguments: list[str] | None = None) -> int:
    """Issue one certificate; prints a JSON object: changed, certificate, key, authority."""
    parser = argparse.ArgumentParser(prog="python -m clusterops.cluster_ca")
    parser.add_argument("--state-dir", type=Path, required=True, help="the cluster's .playground")
    parser.add_argument("--name", required=True, help="the machine, such as control-1")
    parser.add_argument("--address", action="append", default=[], help="what it is called by, too")
    given = parser.parse_args(arguments)
    state = State(root=given.state_dir, cluster_file=given.state_dir.parent / "cluster.yml")
    try:
        issued = issue(state, given.name, given.address)
    except ClusterOpsError as error:
        print(f"cluster_ca: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(
        json.dumps(
            {
                "changed": issued.changed,
                "certificate": str(issued.certificate),
                "key": str(issued.key),
                "authority": str(issued.authority),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
