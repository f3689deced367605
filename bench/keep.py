"""Results as a JSON list that is renewed entry by entry, so that a long benchmark can be run in parts."""

import json
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Entry = dict[str, Any]


def merge(path: Path, fresh: Iterable[Entry], key: Callable[[Entry], Hashable]) -> list[Entry]:
    """Write the file, and give what it holds now: what it held, but what is fresh in place of what has the same key."""
    kept = {key(entry): entry for entry in (json.loads(path.read_text()) if path.exists() else [])}
    kept |= {key(entry): entry for entry in fresh}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    return list(kept.values())
