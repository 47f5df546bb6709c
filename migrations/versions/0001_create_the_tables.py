"""Create the tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_airlines()
    create_airports()
    create_planes()
    create_weather()
    create_flights()


def downgrade() -> None:
    for table in ("flights", "weather", "planes", "airports", "airlines"):
        op.drop_table(table)


def create_airlines() -> None:
    op.create_table(
        "airlines",
        sa.Column("carrier", sa.String(2), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("carrier", name=op.f("pk_airlines")),
    )


def create_airports() -> None:
    op.create_table(
        "airports",
        sa.Column("faa", sa.String(3), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("latitude", sa.Double(), nullable=False),
        sa.Column("longitude", sa.Double(), nullable=False),
        sa.Column("altitude_feet", sa.Integer(), nullable=False),
        sa.Column("utc_offset", sa.SmallInteger(), nullable=False),
        sa.Column("dst", sa.String(1), nullable=False),
        sa.Column("time_zone", sa.String()),
        sa.PrimaryKeyConstraint("faa", name=op.f("pk_airports")),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90", name=op.f("ck_airports_latitude")),
        sa.CheckConstraint("longitude BETWEEN -180 AND 180", name=op.f("ck_airports_longitude")),
        sa.CheckConstraint("dst IN ('A', 'N', 'U')", name=op.f("ck_airports_dst")),
    )


def create_planes() -> None:
    op.create_table(
        "planes",
        sa.Column("tailnum", sa.String(6), nullable=False),
        sa.Column("year", sa.SmallInteger()),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("manufacturer", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("engines", sa.SmallInteger(), nullable=False),
        sa.Column("seats", sa.SmallInteger(), nullable=False),
        sa.Column("speed", sa.SmallInteger()),
        sa.Column("engine", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tailnum", name=op.f("pk_planes")),
        sa.CheckConstraint("engines > 0", name=op.f("ck_planes_engines")),
        sa.CheckConstraint("seats > 0", name=op.f("ck_planes_seats")),
        sa.CheckConstraint("speed > 0", name=op.f("ck_planes_speed")),
    )


def create_weather() -> None:
    op.create_table(
        "weather",
        sa.Column("origin", sa.String(3), nullable=False),
        sa.Column("hour_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("temperature_f", sa.Double()),
        sa.Column("dew_point_f", sa.Double()),
        sa.Column("humidity", sa.Double()),
        sa.Column("wind_direction", sa.SmallInteger()),
        sa.Column("wind_speed_mph", sa.Double()),
        sa.Column("wind_gust_mph", sa.Double()),
        sa.Column("precipitation_in", sa.Double()),
        sa.Column("pressure_mb", sa.Double()),
        sa.Column("visibility_mi", sa.Double()),
        sa.PrimaryKeyConstraint("origin", "hour_at", name=op.f("pk_weather")),
        sa.ForeignKeyConstraint(["origin"], ["airports.faa"], name=op.f("fk_weather_origin_airports")),
        sa.CheckConstraint("humidity BETWEEN 0 AND 100", name=op.f("ck_weather_humidity")),
        sa.CheckConstraint("wind_direction BETWEEN 0 AND 360", name=op.f("ck_weather_wind_direction")),
        sa.CheckConstraint("wind_speed_mph >= 0", name=op.f("ck_weather_wind_speed_mph")),
        sa.CheckConstraint("precipitation_in >= 0", name=op.f("ck_weather_precipitation_in")),
        sa.CheckConstraint("visibility_mi >= 0", name=op.f("ck_weather_visibility_mi")),
    )


def create_flights() -> None:
    op.create_table(
        "flights",
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flights")),
        sa.ForeignKeyConstraint(["carrier"], ["airlines.carrier"], name=op.f("fk_flights_carrier_airlines")),
        sa.ForeignKeyConstraint(["origin"], ["airports.faa"], name=op.f("fk_flights_origin_airports")),
    )
