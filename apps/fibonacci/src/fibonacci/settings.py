# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process reads from its environment, checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fibonacci.errors import SettingsError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_SHAPES = {
    "POSTGRES_URL": (("postgresql", "postgres"), "postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
    "REDIS_URL": (("redis", "rediss", "unix"), "redis://:PASSWORD@HOST:6379/0"),
}


@dataclass(frozen=True)
class Settings:
    """The environment of a process. URLs hold passwords, so they stay out of the repr."""

    postgres_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    host: str = "0.0.0.0"  # noqa: S104 - a container's own network is the boundary
    port: int = 5000
    log_level: str = "INFO"


def load_settings(environ: Mapping[str, str], needed: tuple[str, ...]) -> Settings:
    """Read the settings; *needed* names the URLs this process cannot do without.

    Raises:
        SettingsError: one line that names every problem (never a value that may hold a password).
    """
    problems: list[str] = []
    urls: dict[str, str] = {}
    for name, (schemes, shape) in _SHAPES.items():
        value = urls[name] = environ.get(name, "").strip()
        if name not in needed:
            continue
        if not value:
            problems.append(f"{name} is not set (expected {shape})")
        elif not _has_scheme(value, schemes):
            problems.append(f"{name} is not a URL of the form {shape}")
    port_text = environ.get("PORT", "").strip() or "5000"
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else -1
    if not 0 <= port <= 65535:
        problems.append(f"PORT is {port_text!r} (expected 1 to 65535, or 0 for any free port)")
    level = environ.get("LOG_LEVEL", "").strip().upper() or "INFO"
    if level not in _LEVELS:
        problems.append(f"LOG_LEVEL is {level!r} (expected one of {', '.join(_LEVELS)})")
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(
        postgres_url=urls["POSTGRES_URL"],
        redis_url=urls["REDIS_URL"],
        host=environ.get("HOST", "").strip() or Settings.host,
        port=port,
        log_level=level,
    )


def _has_scheme(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.netloc or parts.path)
