"""The JSON schema of the file `stream-serve.toml`: `python -m stream_serve.settings.schema` prints it.

Editors read it to complete and check the file; the service itself checks more.
"""

from __future__ import annotations

import json
import sys

from stream_serve.settings.tables import Root


def schema() -> str:
    """Return the schema as text (JSON Schema 2020-12)."""
    made = Root.model_json_schema()
    made["title"] = "stream-serve.toml"
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(made, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
