"""The whole of the flights: how many rows there are of each kind."""

from sqlalchemy import func, select

from repo import Base, Database

COUNTS = {"airlines": 16, "airports": 1_458, "planes": 3_322, "weather": 26_115, "flights": 336_776}


async def counts(db: Database) -> dict[str, int]:
    """How many rows each table has."""
    return {name: await db.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0 for name in COUNTS}
