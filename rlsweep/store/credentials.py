"""URIs with a password in them: what is shown or kept of them."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)(?:[^\s/?#@:]*:(?!\d+[/?#])\S*|[^\s/?#]*)@")
"""A password may hold anything, up to the last @ of the word; a port and a path are none."""

_QUERY = re.compile(
    r"(?<=[?&;])((?:\w*password|passwd|pwd|\w*token|\w*secret|api_?key)=)[^&;\s]+", re.IGNORECASE
)


def without_credentials(text: str) -> str:
    """A URI, or words with URIs in them, without users and passwords.

    `http://ann:secret@host:5000` -> `http://host:5000`.
    """
    return _QUERY.sub(r"\1…", _USER.sub("", text))
