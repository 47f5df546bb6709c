"""The tables of the example: airlines, airports, planes, hourly weather, flights.

Units are in the names where a name would leave a doubt: `_f` degrees Fahrenheit, `_mph` miles per
hour, `_in` inches, `_mb` millibars, `_mi` miles. Delays and air time are minutes, early is below 0.
A clock time is local and written as the number HHMM: 517 is 05:17, and 2400 is the midnight that
ends a day. `data/README.md` says where the rows come from.
"""

import datetime as dt
from typing import Annotated

from sqlalchemy import CheckConstraint, ForeignKey, SmallInteger, String, and_
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from repo import Base
from repo.types import UTCDateTime

CarrierCode = Annotated[str, mapped_column(String(2))]
AirportCode = Annotated[str, mapped_column(String(3))]
TailNumber = Annotated[str, mapped_column(String(6))]
ClockTime = Annotated[int, mapped_column(SmallInteger)]
Minutes = Annotated[int, mapped_column(SmallInteger)]
SmallNumber = Annotated[int, mapped_column(SmallInteger)]
Moment = Annotated[dt.datetime, mapped_column(UTCDateTime)]


class Airline(Base):
    """A carrier, by its two-character IATA code."""

    __tablename__ = "airlines"

    carrier: Mapped[CarrierCode] = mapped_column(primary_key=True)
    name: Mapped[str]


class Airport(Base):
    """An airport of the United States, by its FAA code."""

    __tablename__ = "airports"
    __table_args__ = (
        CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude"),
        CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude"),
        CheckConstraint("dst IN ('A', 'N', 'U')", name="dst"),
    )

    faa: Mapped[AirportCode] = mapped_column(primary_key=True)
    name: Mapped[str]
    latitude: Mapped[float]
    longitude: Mapped[float]
    altitude_feet: Mapped[int]
    utc_offset: Mapped[SmallNumber]
    """Hours from UTC in winter."""
    dst: Mapped[str] = mapped_column(String(1))
    """Daylight saving time: A as in the United States, N none, U unknown."""
    time_zone: Mapped[str | None]


class Plane(Base):
    """An aircraft of the FAA's register, by its tail number."""

    __tablename__ = "planes"
    __table_args__ = (
        CheckConstraint("engines > 0", name="engines"),
        CheckConstraint("seats > 0", name="seats"),
        CheckConstraint("speed > 0", name="speed"),
    )

    tailnum: Mapped[TailNumber] = mapped_column(primary_key=True)
    year: Mapped[SmallNumber | None]
    """The year of manufacture."""
    type: Mapped[str]
    manufacturer: Mapped[str]
    model: Mapped[str]
    engines: Mapped[SmallNumber]
    seats: Mapped[SmallNumber]
    speed: Mapped[SmallNumber | None]
    """Cruising speed in miles per hour; known for few."""
    engine: Mapped[str]


class WeatherReport(Base):
    """One hour's weather at an airport of New York.

    The key's hour is a moment, in UTC: the local hour from 01:00 of 3 November 2013 came twice.
    """

    __tablename__ = "weather"
    __table_args__ = (
        CheckConstraint("humidity BETWEEN 0 AND 100", name="humidity"),
        CheckConstraint("wind_direction BETWEEN 0 AND 360", name="wind_direction"),
        CheckConstraint("wind_speed_mph >= 0", name="wind_speed_mph"),
        CheckConstraint("precipitation_in >= 0", name="precipitation_in"),
        CheckConstraint("visibility_mi >= 0", name="visibility_mi"),
    )

    origin: Mapped[AirportCode] = mapped_column(ForeignKey(Airport.faa), primary_key=True)
    hour_at: Mapped[Moment] = mapped_column(primary_key=True)
    temperature_f: Mapped[float | None]
    dew_point_f: Mapped[float | None]
    humidity: Mapped[float | None]
    """Relative, in percent."""
    wind_direction: Mapped[SmallNumber | None]
    """Degrees; 0 where the air is still."""
    wind_speed_mph: Mapped[float | None]
    wind_gust_mph: Mapped[float | None]
    precipitation_in: Mapped[float | None]
    pressure_mb: Mapped[float | None]
    visibility_mi: Mapped[float | None]

    airport: Mapped[Airport] = relationship()


class Flight(Base):
    """A scheduled departure from New York; `departure` is NULL where it was cancelled.

    `tailnum` and `destination` are not foreign keys: many aircraft and four airports are not in the
    data set.
    """

    __tablename__ = "flights"
    __table_args__ = (
        CheckConstraint("hour BETWEEN 0 AND 23", name="hour"),
        CheckConstraint("minute BETWEEN 0 AND 59", name="minute"),
        CheckConstraint("scheduled_departure = hour * 100 + minute", name="scheduled_departure"),
        CheckConstraint("departure BETWEEN 1 AND 2400", name="departure"),
        CheckConstraint("arrival BETWEEN 1 AND 2400", name="arrival"),
        CheckConstraint("(departure IS NULL) = (departure_delay IS NULL)", name="departure_delay"),
        CheckConstraint("(arrival_delay IS NULL) = (air_time IS NULL)", name="arrival_delay"),
        CheckConstraint("air_time > 0", name="air_time"),
        CheckConstraint("distance > 0", name="distance"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The number of the row in the source, from 1."""
    date: Mapped[dt.date]
    """The local day of the scheduled departure."""
    scheduled_departure: Mapped[ClockTime]
    departure: Mapped[ClockTime | None]
    departure_delay: Mapped[Minutes | None]
    scheduled_arrival: Mapped[ClockTime]
    arrival: Mapped[ClockTime | None]
    arrival_delay: Mapped[Minutes | None]
    """NULL where the flight was cancelled, diverted, or its arrival is not known."""
    carrier: Mapped[CarrierCode] = mapped_column(ForeignKey(Airline.carrier))
    number: Mapped[SmallNumber]
    tailnum: Mapped[TailNumber | None]
    origin: Mapped[AirportCode] = mapped_column(ForeignKey(Airport.faa))
    destination: Mapped[AirportCode]
    air_time: Mapped[Minutes | None]
    distance: Mapped[SmallNumber]
    """Miles."""
    hour: Mapped[SmallNumber]
    """The local hour of the scheduled departure."""
    minute: Mapped[SmallNumber]
    hour_at: Mapped[Moment]
    """The moment at which the scheduled departure's hour began."""

    airline: Mapped[Airline] = relationship()
    origin_airport: Mapped[Airport] = relationship()
    destination_airport: Mapped[Airport | None] = relationship(
        primaryjoin=lambda: foreign(Flight.destination) == Airport.faa, viewonly=True
    )
    plane: Mapped[Plane | None] = relationship(
        primaryjoin=lambda: foreign(Flight.tailnum) == Plane.tailnum, viewonly=True
    )
    weather: Mapped[WeatherReport | None] = relationship(
        primaryjoin=lambda: and_(
            foreign(Flight.origin) == WeatherReport.origin,
            foreign(Flight.hour_at) == WeatherReport.hour_at,
        ),
        viewonly=True,
    )
