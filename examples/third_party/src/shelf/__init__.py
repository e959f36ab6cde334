# SPDX-License-Identifier: GPL-3.0-or-later
"""An example of a package that extends the playground."""
