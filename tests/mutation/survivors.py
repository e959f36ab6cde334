# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the mutants that survived a run of mutmut in this folder, as JSON with their diffs."""

from __future__ import annotations

import json

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

CAUGHT = ("killed", "timeout", "segfault", "caught by type check")


def main() -> None:
    found = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] not in CAUGHT:
                found.append({"name": name, "diff": get_diff_for_mutant(name, path=path)})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
