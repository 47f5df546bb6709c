"""What alembic runs for each of its commands."""

from examples.flights.models import Flight
from repo import migrations

migrations.run(Flight.metadata)
