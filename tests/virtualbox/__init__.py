# SPDX-License-Identifier: GPL-3.0-or-later
"""Real VirtualBox for the tests, on machines that have neither it nor its kernel driver."""
