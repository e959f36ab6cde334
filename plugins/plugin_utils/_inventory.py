# Copyright (c) 2026, Cluster Operations Playground contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory plugins share."""

from __future__ import annotations

import typing as t

try:
    from ansible.template import trust_as_template as _trust

    def _distrust(text: str) -> str:
        return text

except ImportError:  # ansible-core before 2.19 trusts what is not marked
    from ansible.utils.unsafe_proxy import wrap_var as _distrust

    def _trust(text: str) -> str:
        return text


# A text that starts so may declare any other characters to be a template's brackets.
_OVERRIDE = "#jinja2:"


def as_data(value: t.Any) -> t.Any:
    """Text from outside must never run as a template.

    Text that cannot be one is marked as trusted, so that ansible-inventory --list prints it as
    it is.
    """
    if isinstance(value, dict):
        return {key: as_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item) for item in value]
    if isinstance(value, str):
        return _distrust(value) if "{" in value or _OVERRIDE in value else _trust(value)
    return value
