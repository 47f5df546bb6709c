"""The answers as tables for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table

from examples.flights.answers import AircraftBand, Answers, Destination, Punctuality, WeatherBand
from examples.flights.layout import DASH, MONTHS, WEEKDAYS, minutes, percent
from examples.flights.reckoning import SPREAD
from examples.flights.report import QUESTIONS
from examples.flights.timeline import Comparison

PUNCTUALITY = ("flights", "cancelled", "on time", "min late leaving", "min late arriving")
WEATHER = ("flights", "min late leaving", "cancelled")


def tables(answers: Answers) -> Iterator[Table]:
    """A table for each answer."""
    yield _totals(answers)
    yield _punctuality("By airline", ((row.name, row) for row in answers.by_carrier))
    yield _punctuality("By month", ((MONTHS[row.month - 1], row) for row in answers.by_month))
    yield _punctuality("By day of the week", ((WEEKDAYS[row.weekday - 1], row) for row in answers.by_weekday))
    yield _punctuality("By scheduled hour", ((f"{row.hour}:00", row) for row in answers.by_hour))
    yield _destinations("Worst destinations", answers.destinations.worst)
    yield _destinations("Best destinations", answers.destinations.best)
    yield _routes(answers)
    yield _weather("By visibility, miles", answers.visibility)
    yield _weather("By wind, miles per hour", answers.wind)
    yield _weather("By rain in the hour, inches", answers.rain)
    yield _cancellations(answers)
    yield _aircraft("By age of the aircraft, years", answers.aircraft_age)
    yield _aircraft("By seats of the aircraft", answers.aircraft_size)
    yield _utilisation(answers)
    yield _made_up(answers)
    yield _spread(answers)
    yield _knock_on(answers)


def timings(comparison: Comparison) -> Table:
    """Seconds of each question, one at a time and all at once, and the ratio of the whole."""
    runs = [run for run in (comparison.one_at_a_time, comparison.all_at_once) if run]
    heads = ("one at a time", "all at once")[: len(runs)]
    seconds = [{bar.question: bar.end - bar.start for bar in run.bars} for run in runs]
    rows = [
        (question.title, *(f"{times[question.name]:.3f}" for times in seconds if question.name in times))
        for question in QUESTIONS
    ]
    table = _table("Seconds", ("question", *heads), rows)
    table.add_section()
    table.add_row("[b]All, from start to end[/b]", *(f"[b]{run.seconds:.3f}[/b]" for run in runs))
    return table


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Table:
    """A table whose first columns are words and the others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number < words else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _totals(answers: Answers) -> Table:
    """All flights."""
    total, extent = answers.totals, answers.extent
    rows = (
        ("days", f"{extent.first_day} to {extent.last_day}"),
        ("flights", f"{total.flights:,}"),
        ("cancelled", f"{total.cancelled:,}"),
        ("arrived", f"{total.arrived:,}"),
        ("on time", percent(total.on_time_share)),
        ("mean delay leaving", f"{minutes(total.departure_delay_mean)} min"),
        ("mean delay arriving", f"{minutes(total.arrival_delay_mean)} min"),
        ("miles", f"{total.distance_miles:,}"),
    )
    return _table("Flights out of New York", ("", ""), rows)


def _punctuality(title: str, rows: Iterable[tuple[str, Punctuality]]) -> Table:
    """Named punctualities."""
    cells = (
        (
            name,
            f"{row.flights:,}",
            f"{row.cancelled:,}",
            percent(row.on_time_share),
            minutes(row.departure_delay_mean),
            minutes(row.arrival_delay_mean),
        )
        for name, row in rows
    )
    return _table(title, ("", *PUNCTUALITY), cells)


def _destinations(title: str, rows: Sequence[Destination]) -> Table:
    """Some destinations."""
    cells = ((row.destination, row.name or DASH, f"{row.arrived:,}", minutes(row.arrival_delay_mean)) for row in rows)
    return _table(title, ("", "airport", "arrivals", "min late arriving"), cells, words=2)


def _routes(answers: Answers) -> Table:
    """The busiest routes."""
    cells = (
        (
            row.origin,
            row.destination,
            f"{row.flights:,}",
            str(row.carriers),
            percent(row.on_time_share),
            minutes(row.arrival_delay_mean),
        )
        for row in answers.busiest_routes
    )
    heads = ("from", "to", "flights", "airlines", "on time", "min late arriving")
    return _table("Busiest routes", heads, cells, words=2)


def _weather(title: str, rows: Sequence[WeatherBand]) -> Table:
    """Delays by a kind of weather."""
    cells = (
        (row.band, f"{row.flights:,}", minutes(row.departure_delay_mean), percent(row.cancelled_share)) for row in rows
    )
    return _table(title, ("", *WEATHER), cells)


def _cancellations(answers: Answers) -> Table:
    """Shares of cancelled flights, a row for each month and a column for each airport."""
    origins = sorted({row.origin for row in answers.cancellations})
    months = sorted({row.month for row in answers.cancellations})
    shares = {(row.month, row.origin): row.cancelled_share for row in answers.cancellations}
    cells = ((MONTHS[month - 1], *(percent(shares.get((month, origin))) for origin in origins)) for month in months)
    return _table("Cancelled flights", ("", *origins), cells)


def _aircraft(title: str, rows: Sequence[AircraftBand]) -> Table:
    """Delays by a kind of aircraft."""
    cells = (
        (
            row.band,
            f"{row.planes:,}",
            f"{row.flights:,}",
            minutes(row.departure_delay_mean),
            minutes(row.arrival_delay_mean),
        )
        for row in rows
    )
    return _table(title, ("", "aircraft", "flights", "min late leaving", "min late arriving"), cells)


def _utilisation(answers: Answers) -> Table:
    """The aircraft that were longest in the air; the fleet's means are in the title."""
    used = answers.aircraft_utilisation
    means = f"{minutes(used.flights_mean)} flights and {minutes(used.air_hours_mean)} hours in the air"
    cells = (
        (
            row.tailnum,
            f"{row.manufacturer} {row.model}" if row.manufacturer else DASH,
            str(row.seats or DASH),
            f"{row.flights:,}",
            f"{row.air_hours:,.0f}",
            f"{row.miles:,}",
        )
        for row in used.top
    )
    heads = ("tail number", "aircraft", "seats", "flights", "hours in the air", "miles")
    return _table(f"{used.planes:,} aircraft, in the mean {means}; the busiest", heads, cells, words=2)


def _made_up(answers: Answers) -> Table:
    """Minutes made up in the air."""
    cells = (
        (row.band, f"{row.flights:,}", f"{row.made_up_minutes:,}", minutes(row.made_up_mean))
        for row in answers.made_up_in_the_air
    )
    return _table("Made up in the air, by miles", ("", "flights", "minutes", "in the mean"), cells)


def _spread(answers: Answers) -> Table:
    """Arrivals by airline and band of lateness."""
    cells = ((str(row["carrier"]), *(f"{row[band]:,}" for band in SPREAD)) for row in answers.delay_spread)
    return _table("Arrivals by minutes late", ("", *(band.replace("_", " ") for band in SPREAD)), cells)


def _knock_on(answers: Answers) -> Table:
    """What a late departure does to the aircraft's next."""
    row = answers.knock_on
    cells = (
        ("a late departure", percent(row.late_after_late_share)),
        ("a departure on time", percent(row.late_after_on_time_share)),
    )
    return _table(f"Late departures, of {row.flights:,} aircraft's next", ("after", "late"), cells)
