# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of VirtualBox's web service: one SOAP request after the other on a kept connection.

The service costs 0.4 ms a call and an inventory takes thousands, so the little of HTTP that it
speaks is read here: the standard library's client would take half as much time again.
"""

from __future__ import annotations

import re
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Union
from urllib.parse import urlsplit

from ._vboxmanage_errors import (
    InvalidArgument,
    MalformedOutput,
    ServiceUnavailable,
    TimedOut,
    VBoxManageError,
    classify,
)

Value = Union[str, int, bool, Iterable[str]]  # noqa: UP007 - ansible-test reads it as older Python

# A response is one value of one machine; only a hostile one is larger than this.
LARGEST_ANSWER = 16 * 1024 * 1024
_LARGEST_HEAD = 16 * 1024
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><e:Envelope '
    'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:v="http://www.virtualbox.org/">'
    "<e:Body><v:{0}>{1}</v:{0}></e:Body></e:Envelope>"
)
_BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
_FAULT = "{http://schemas.xmlsoap.org/soap/envelope/}Fault"
_VBOX = "{http://www.virtualbox.org/}"
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
# Everything that XML 1.0 has no way to write.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FAULT_TEXT = re.compile(
    r"VirtualBox error: (?:api)?rc=(0x[0-9a-fA-F]{1,8})(?: (.*?))?(?: \(0x[0-9a-fA-F]{1,8}\))?\s*",
    re.DOTALL,
)
_NO_SERVICE = (
    "Start it as the user whose machines these are ('vboxwebsrv --host localhost'), or leave the "
    "address of the web service out: VBoxManage then does the same."
)
_NO_DOOR = (
    "The address is http://HOST:PORT; vboxwebsrv listens on http://localhost:18083 by default."
)


class AccessDenied(VBoxManageError):
    """The web service does not let the user in, and does not say why."""

    default_remedy = (
        "Give the name and password of the user that runs vboxwebsrv; 'vboxwebsrv "
        "--authentication' chooses how they are checked. If they are right, start vboxwebsrv "
        "anew: it refuses everybody when VBoxSVC has ended beneath it."
    )


class SessionEnded(ServiceUnavailable):
    """The web service has forgotten an object, as it does when a session is idle for long."""

    default_remedy = "Run this again; 'vboxwebsrv --timeout' sets how long a session may be idle."


class Connection:
    """One connection to the web service; it is made, and made again, when a call needs it.

    ``timeout_s`` bounds each call, the making of the connection included. Not for several
    threads at once.
    """

    def __init__(self, url: str, timeout_s: float = 60) -> None:
        """Raises InvalidArgument for an address that is none."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidArgument(f"{url!r} is no address: {error}", _NO_DOOR) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            # Without the address itself: somebody may have put a password into it.
            raise InvalidArgument("The web service's address is not http://HOST:PORT", _NO_DOOR)
        if _NOT_XML.search(url) or re.search(r"\s", url):
            raise InvalidArgument("The web service's address has blanks in it", _NO_DOOR)
        self.url = url
        self.timeout_s = timeout_s
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port or 18083
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._head = (
            f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {host}:{self._port}\r\n"
            'Content-Type: text/xml; charset=utf-8\r\nSOAPAction: ""\r\n'
            "Connection: keep-alive\r\nContent-Length: "
        ).encode()
        self._socket: socket.socket | None = None

    def call(self, operation: str, this: str = "", **arguments: Value) -> ET.Element:
        """The answer's element, its children being the values. Raises VBoxManageError."""
        request = _request(operation, this, arguments)
        deadline = time.monotonic() + self.timeout_s
        fresh = self._socket is None
        try:
            try:
                body = self._exchange(request, deadline)
            except (ConnectionError, _Closed):
                # The service ends a connection after 100 calls or a minute without any.
                self.close()
                if fresh:
                    raise
                body = self._exchange(request, deadline)
        except TimeoutError:
            self.close()
            raise TimedOut(
                f"The web service {self.url} gave no answer to {operation} within "
                f"{self.timeout_s:.0f} s",
                _NO_SERVICE,
            ) from None
        except (OSError, _Closed) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServiceUnavailable(
                f"The web service {self.url} does not answer: {why}", _NO_SERVICE
            ) from None
        except VBoxManageError:
            self.close()
            raise
        return answer(operation, body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        if self._socket is None:
            self._socket = self._connect(deadline)
        stream = self._socket
        stream.settimeout(_left(deadline))
        stream.sendall(self._head + str(len(request)).encode("ascii") + b"\r\n\r\n" + request)
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > _LARGEST_HEAD:
                raise MalformedOutput(f"{self.url} does not speak HTTP as VirtualBox does")
            received += _more(stream, deadline)
        head = bytes(received[: end + 4])
        length = _length(head, self.url)
        chunks, missing = [bytes(received[end + 4 :])], length - (len(received) - end - 4)
        while missing > 0:
            chunks.append(_more(stream, deadline))
            missing -= len(chunks[-1])
        if missing < 0 or _CLOSE.search(head):
            self.close()
        return b"".join(chunks)[:length]

    def _connect(self, deadline: float) -> socket.socket:
        stream = socket.create_connection((self._host, self._port), _left(deadline))
        # A request is one packet: waiting for more would cost 40 ms each.
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            import ssl  # costs 10 ms, and few need it

            return ssl.create_default_context().wrap_socket(stream, server_hostname=self._host)
        return stream


class _Closed(Exception):
    """The service ended the connection in the middle."""

    def __str__(self) -> str:
        return "it ended the connection"


def answer(operation: str, body: bytes) -> ET.Element:
    """The operation's answer in a SOAP body. Raises VBoxManageError: a fault, or no SOAP."""
    # Neither appears in SOAP, and expat would resolve what a document type declares.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\0" in body:
        raise MalformedOutput(f"The web service's answer to {operation} is not SOAP")
    try:
        root = ET.fromstring(body.strip())  # noqa: S314 - no document type, no entities
    except (ET.ParseError, ValueError, LookupError) as error:
        raise MalformedOutput(
            f"The web service's answer to {operation} is not XML: {error}"
        ) from None
    envelope = root.find(_BODY)
    content = envelope[0] if envelope is not None and len(envelope) else None
    if content is None:
        raise MalformedOutput(f"The web service's answer to {operation} is empty")
    if content.tag == _FAULT:
        raise fault(operation, content)
    if content.tag != f"{_VBOX}{operation}Response":
        raise MalformedOutput(
            f"The web service answers {operation} with {content.tag.rpartition('}')[2][:60]!r}"
        )
    return content


def fault(operation: str, element: ET.Element) -> VBoxManageError:
    """The typed error for a SOAP fault."""
    text = element.findtext("faultstring") or "it gave no reason"
    if element.find(f"detail/{_VBOX}InvalidObjectFault") is not None:
        return SessionEnded("The web service does not know the session any more")
    match = _FAULT_TEXT.fullmatch(text)
    reason = (match.group(2) if match else None) or ""
    if operation == "IWebsessionManager_logon":
        return AccessDenied(f"The web service refuses the user ({_short(reason or text)})")
    # Its messages are those that VBoxManage prints.
    found = classify(1, "", f"VBoxManage: error: {reason}") if reason else None
    if found is None or found.__class__ is VBoxManageError:
        return VBoxManageError(f"The web service refuses {operation}: {_short(text)}")
    return found


def text_of(element: ET.Element) -> str:
    """The only value of an answer, empty if VirtualBox has none. Raises MalformedOutput."""
    value = element.find("returnval")
    if value is None:
        raise MalformedOutput(f"The web service's {_name(element)} has no value")
    return value.text or ""


def texts_of(element: ET.Element, tag: str = "returnval") -> list[str]:
    """The values of an answer that is a list."""
    return [value.text or "" for value in element.findall(tag)]


def number_of(element: ET.Element) -> int:
    """A count. Raises MalformedOutput."""
    text = text_of(element)
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise MalformedOutput(f"The web service's {_name(element)} is {text[:60]!r}")
    return int(text)


def flag_of(element: ET.Element) -> bool:
    """Yes or no. Raises MalformedOutput."""
    text = text_of(element)
    if text not in ("true", "false"):
        raise MalformedOutput(f"The web service's {_name(element)} is {text[:60]!r}")
    return text == "true"


def _request(operation: str, this: str, arguments: dict[str, Value]) -> bytes:
    parts = [f"<_this>{_escaped(this)}</_this>"] if this else []
    for name, value in arguments.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        values = [str(value)] if isinstance(value, (str, int)) else list(value)
        parts.extend(f"<{name}>{_escaped(text)}</{name}>" for text in values)
    return _ENVELOPE.format(operation, "".join(parts)).encode("utf-8")


def _escaped(text: str) -> str:
    if _NOT_XML.search(text):
        raise InvalidArgument(
            "A text for the web service has control characters", "Leave them out."
        )
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


def _left(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _more(stream: socket.socket, deadline: float) -> bytes:
    stream.settimeout(_left(deadline))
    data = stream.recv(65536)
    if not data:
        raise _Closed
    return data


def _length(head: bytes, url: str) -> int:
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None:
        raise MalformedOutput(f"{url} does not speak HTTP as VirtualBox does")
    if status.group(1) not in (b"200", b"500"):  # 500 carries a SOAP fault
        raise ServiceUnavailable(
            f"The web service {url} answers with the status {status.group(1).decode()}", _NO_DOOR
        )
    if length is None or int(length.group(1)) > LARGEST_ANSWER:
        raise MalformedOutput(f"{url} does not speak HTTP as VirtualBox does")
    return int(length.group(1))


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2].removesuffix("Response")


def _short(text: str) -> str:
    return " ".join(text.split())[:600]
