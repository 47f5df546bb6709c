"""How the bare SQLite drivers keep times, decimals and JSON: the adapters and converters that sqlite3 documents."""

import json
import sqlite3
from datetime import datetime
from decimal import Decimal

TYPES = sqlite3.PARSE_DECLTYPES
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON")


def register() -> None:
    """For every connection of this process that is opened with `detect_types=TYPES`."""
    sqlite3.register_adapter(datetime, lambda value: value.replace(tzinfo=None).isoformat(" "))
    sqlite3.register_adapter(Decimal, float)
    sqlite3.register_adapter(dict, json.dumps)
    sqlite3.register_converter("timestamp", lambda text: datetime.fromisoformat(text.decode()))
    sqlite3.register_converter("numeric", lambda text: Decimal(text.decode()))
    sqlite3.register_converter("json", json.loads)
