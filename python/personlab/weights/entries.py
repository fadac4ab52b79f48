"""What exported files say of their networks, so that these predict from them as from their checkpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personlab.methods import Method
    from personlab.settings import Settings


def file_entries(method: Method, config: Any, settings: Settings) -> dict[str, str]:
    """Return entries of metadata: method, configuration and settings of a network."""
    return {
        "personlab.config": config.to_json(),
        "personlab.method": method.name,
        "personlab.settings": json.dumps(settings.to_dict(), sort_keys=True),
    }
