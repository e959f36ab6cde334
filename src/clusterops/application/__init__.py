# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications: their manifest (app.yml) and the archive that the control node builds from."""
