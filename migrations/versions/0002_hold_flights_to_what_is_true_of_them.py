"""Hold flights to what is true of them.

The scheduled departure's hour and minute get columns of their own, computed for the rows that are
there, and nine conditions that every flight meets are checked from now on.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHECKS = {
    "ck_flights_hour": "hour BETWEEN 0 AND 23",
    "ck_flights_minute": "minute BETWEEN 0 AND 59",
    "ck_flights_scheduled_departure": "scheduled_departure = hour * 100 + minute",
    "ck_flights_departure": "departure BETWEEN 1 AND 2400",
    "ck_flights_arrival": "arrival BETWEEN 1 AND 2400",
    "ck_flights_departure_delay": "(departure IS NULL) = (departure_delay IS NULL)",
    "ck_flights_arrival_delay": "(arrival_delay IS NULL) = (air_time IS NULL)",
    "ck_flights_air_time": "air_time > 0",
    "ck_flights_distance": "distance > 0",
}


def upgrade() -> None:
    op.add_column("flights", sa.Column("hour", sa.SmallInteger()))
    op.add_column("flights", sa.Column("minute", sa.SmallInteger()))
    clock = sa.column("scheduled_departure", sa.Integer())  # 517 is 05:17
    op.execute(sa.update(flights()).values(hour=clock // 100, minute=clock % 100))
    with op.batch_alter_table("flights", copy_from=flights()) as batch:
        batch.alter_column("hour", existing_type=sa.SmallInteger(), nullable=False)
        batch.alter_column("minute", existing_type=sa.SmallInteger(), nullable=False)
        for name, condition in CHECKS.items():
            batch.create_check_constraint(op.f(name), condition)


def downgrade() -> None:
    with op.batch_alter_table("flights", copy_from=flights(CHECKS)) as batch:
        for name in CHECKS:
            batch.drop_constraint(op.f(name), type_="check")
        batch.drop_column("minute")
        batch.drop_column("hour")


def flights(checks: dict[str, str] | None = None) -> sa.Table:
    """The table in the middle of this migration, which has to know it where ALTER is a rebuild."""
    return sa.Table(
        "flights",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("scheduled_departure", sa.SmallInteger(), nullable=False),
        sa.Column("departure", sa.SmallInteger()),
        sa.Column("departure_delay", sa.SmallInteger()),
        sa.Column("scheduled_arrival", sa.SmallInteger(), nullable=False),
        sa.Column("arrival", sa.SmallInteger()),
        sa.Column("arrival_delay", sa.SmallInteger()),
        sa.Column("carrier", sa.String(2), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("tailnum", sa.String(6)),
        sa.Column("origin", sa.String(3), nullable=False),
        sa.Column("destination", sa.String(3), nullable=False),
        sa.Column("air_time", sa.SmallInteger()),
        sa.Column("distance", sa.SmallInteger(), nullable=False),
        sa.Column("hour_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hour", sa.SmallInteger()),
        sa.Column("minute", sa.SmallInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_flights"),
        sa.ForeignKeyConstraint(["carrier"], ["airlines.carrier"], name="fk_flights_carrier_airlines"),
        sa.ForeignKeyConstraint(["origin"], ["airports.faa"], name="fk_flights_origin_airports"),
        *(sa.CheckConstraint(condition, name=name) for name, condition in (checks or {}).items()),
    )
