# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of the documentation, made from the code while the site is built.

No page of it is kept in the repository, so none can be out of date. ``site`` is the part that
MkDocs calls (``hooks`` in mkdocs.yml); every other module turns one kind of thing into Markdown.
"""
