# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that the host makes: the cluster's machines and the base of application images."""
