# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a request waits for a database before it is answered 503."""

# Both databases write to disk before they answer. On a machine whose disk is busy with something
# else that was seen to take 2.6 s, and all that a shorter wait would do is turn it into errors.
DATABASE_DEADLINE_S = 5.0
