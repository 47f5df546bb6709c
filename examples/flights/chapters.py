"""The chapters of the page: charts of the answers, each with the finding that its figures give."""

from collections.abc import Callable, Sequence

from examples.flights.answers import AircraftBand, Answers, Destination, Punctuality, WeatherBand
from examples.flights.charts import Row, Series, bars, columns, heat, stacks
from examples.flights.layout import (
    AIRPORTS,
    DASH,
    MONTHS,
    WEEKDAYS,
    extremes,
    figure,
    legend,
    minutes,
    percent,
    section,
    table,
)
from examples.flights.markup import Markup
from examples.flights.reckoning import SPREAD

DELAY = "mean delay, minutes"
LATENESS = ("early", "0 to 14 minutes late", "15 to 59", "60 to 179", "180 and more")


def when(answers: Answers) -> Markup:
    """The year, the week, the day."""
    months = [MONTHS[row.month - 1] for row in answers.by_month]
    days = [WEEKDAYS[row.weekday - 1] for row in answers.by_weekday]
    hours = [f"{row.hour} h" for row in answers.by_hour]
    return section(
        "When",
        _delays("Months", months, answers.by_month),
        _delays("Days of the week", days, answers.by_weekday),
        _delays("Hours of scheduled departure", hours, answers.by_hour, wide=True),
        name="when",
    )


def who(answers: Answers) -> Markup:
    """The airlines."""
    rows = sorted(answers.by_carrier, key=lambda row: (row.arrival_delay_mean or 0.0, row.carrier))
    delays = [_late(row.name, row.arrival_delay_mean, f"{percent(row.on_time_share)} on time") for row in rows]
    names = {row.carrier: row.name for row in rows}
    spread = sorted(answers.delay_spread, key=lambda row: list(names).index(str(row["carrier"])))
    layers = [
        Series(name, [int(row[band]) for row in spread], f"s{number}")
        for number, (name, band) in enumerate(zip(LATENESS, SPREAD, strict=True))
    ]
    return section(
        "Airlines",
        figure(
            "Delay at arrival",
            f"Mean: {_finding([(row.name, row.arrival_delay_mean) for row in rows], _long)}",
            bars("Mean arrival delay by airline", delays, form=minutes, unit=DELAY, width=1120),
            wide=True,
        ),
        figure(
            "How late the flights arrived",
            "Each bar is all of an airline's arrivals; the airlines are in the same order.",
            legend(zip(LATENESS, (layer.style for layer in layers), strict=True)),
            stacks("Arrivals by lateness and airline", [names[str(row["carrier"])] for row in spread], layers),
            wide=True,
        ),
        name="airlines",
    )


def where(answers: Answers) -> Markup:
    """Destinations and routes."""
    head = ("From", "To", "Flights", "Airlines", "On time", "Mean arrival delay")
    routes = (
        (
            AIRPORTS.get(row.origin, row.origin),
            row.destination,
            f"{row.flights:,}",
            str(row.carriers),
            percent(row.on_time_share),
            f"{minutes(row.arrival_delay_mean)} min",
        )
        for row in answers.busiest_routes
    )
    return section(
        "Where to",
        _destinations("The ten worst destinations", answers.destinations.worst),
        _destinations("The ten best destinations", answers.destinations.best),
        figure("The busiest routes", "By the number of flights.", table(head, routes, left=2), wide=True),
        name="destinations",
    )


def weather(answers: Answers) -> Markup:
    """Visibility, wind, rain, and what was cancelled."""
    origins = sorted({row.origin for row in answers.cancellations})
    months = sorted({row.month for row in answers.cancellations})
    shares = {(row.origin, row.month): row.cancelled_share for row in answers.cancellations}
    cells = [[shares.get((origin, month)) for month in months] for origin in origins]
    named = [
        (f"{AIRPORTS.get(row.origin, row.origin)} in {MONTHS[row.month - 1]}", row.cancelled_share)
        for row in answers.cancellations
    ]
    return section(
        "Weather and cancellations",
        _weather("Visibility", "miles", answers.visibility),
        _weather("Wind", "miles per hour", answers.wind),
        _weather("Rain in the hour", "inches", answers.rain),
        figure(
            "Cancelled flights, percent",
            f"Share: {_finding(named, percent)}",
            heat(
                "Share of cancelled flights by airport and month",
                [MONTHS[month - 1] for month in months],
                [AIRPORTS.get(origin, origin) for origin in origins],
                cells,
                form=minutes,
                unit="percent",
            ),
            wide=True,
        ),
        name="weather",
        across=3,
    )


def aircraft(answers: Answers) -> Markup:
    """Age, size, distance and work of the aircraft, and what one late departure does to the next."""
    knock_on, used = answers.knock_on, answers.aircraft_utilisation
    pair = [
        ("after a late one", knock_on.late_after_late_share),
        ("after one on time", knock_on.late_after_on_time_share),
    ]
    made_up = [(row.band, row.made_up_mean) for row in answers.made_up_in_the_air]
    head = ("Tail number", "Aircraft", "Seats", "Flights", "Hours in the air", "Miles")
    top = (
        (
            row.tailnum,
            f"{row.manufacturer} {row.model}" if row.manufacturer else "not in the register",
            str(row.seats or DASH),
            f"{row.flights:,}",
            f"{row.air_hours:,.0f}",
            f"{row.miles:,}",
        )
        for row in used.top
    )
    return section(
        "Aircraft",
        _aircraft("Age of the aircraft", "years", answers.aircraft_age),
        _aircraft("Size of the aircraft", "seats", answers.aircraft_size),
        figure(
            "Late departures",
            f"Of {knock_on.flights:,} flights whose aircraft had left New York before on the same day.",
            _single("Share of late departures", pair, unit="percent", style="bad"),
        ),
        figure(
            "Minutes made up in the air",
            f"By miles of the flight: {_finding(made_up, _long)}",
            _single("Minutes made up in the air by distance", made_up, unit="mean, minutes", style="good"),
        ),
        figure(
            "The aircraft that were longest in the air",
            f"{used.planes:,} aircraft flew; each {minutes(used.flights_mean)} times and "
            f"{minutes(used.air_hours_mean)} hours in the mean.",
            table(head, top, left=2),
            wide=True,
        ),
        name="aircraft",
    )


def _delays(title: str, names: Sequence[str], rows: Sequence[Punctuality], *, wide: bool = False) -> Markup:
    """Both mean delays by name."""
    series = [
        Series("leaving", [row.departure_delay_mean for row in rows], "two"),
        Series("arriving", [row.arrival_delay_mean for row in rows], "one"),
    ]
    chart = columns(title, names, series, form=minutes, unit=DELAY, width=1120 if wide else 540)
    on_time = [(name, row.on_time_share) for name, row in zip(names, rows, strict=True)]
    finding = f"On time: {_finding(on_time, percent)}"
    return figure(title, finding, legend((one.name, one.style) for one in series), chart, wide=wide)


def _destinations(title: str, rows: Sequence[Destination]) -> Markup:
    """Mean delays at some destinations."""
    delays = [_late(row.name or row.destination, row.arrival_delay_mean, f"{row.arrived:,} arrivals") for row in rows]
    chart = bars(title, delays, form=minutes, unit=DELAY)
    return figure(title, "Of those with at least an arrival a day.", chart)


def _weather(title: str, unit: str, rows: Sequence[WeatherBand]) -> Markup:
    """Delay when leaving, by a kind of weather, over the share that was cancelled."""
    delays = [Series("leaving", [row.departure_delay_mean for row in rows], "two")]
    notes = [f"{percent(row.cancelled_share)}" for row in rows]
    names = [_brief(row.band) for row in rows]
    chart = columns(title, names, delays, form=minutes, unit=DELAY, width=380, notes=notes)
    return figure(title, f"By {unit}; below: percent cancelled.", chart)


def _aircraft(title: str, unit: str, rows: Sequence[AircraftBand]) -> Markup:
    """Both delays, by a kind of aircraft, over the number of them."""
    series = [
        Series("leaving", [row.departure_delay_mean for row in rows], "two"),
        Series("arriving", [row.arrival_delay_mean for row in rows], "one"),
    ]
    notes = [f"{row.planes:,} aircraft" for row in rows]
    chart = columns(title, [row.band for row in rows], series, form=minutes, unit=DELAY, notes=notes)
    finding = f"By {unit}, at arrival: {_finding([(row.band, row.arrival_delay_mean) for row in rows], _long)}"
    return figure(title, finding, legend((one.name, one.style) for one in series), chart)


def _single(label: str, pairs: Sequence[tuple[str, float | None]], *, unit: str, style: str) -> Markup:
    """One column for each name."""
    series = [Series(unit, [value for _, value in pairs], style)]
    return columns(label, [name for name, _ in pairs], series, form=minutes, unit=unit)


def _late(name: str, delay: float | None, note: str) -> Row:
    """A bar that is good where it is early, and else bad."""
    return Row(name, delay, note, "good" if delay is not None and delay < 0 else "bad")


def _finding(pairs: Sequence[tuple[str, float | None]], form: Callable[[float | None], str]) -> str:
    """Which name has the lowest, and which the highest value."""
    found = extremes(pairs, lambda pair: pair[1])
    if found is None:
        return "nothing is known."
    (low, least), (high, most) = found
    return f"lowest {form(least)} ({low}), highest {form(most)} ({high})."


def _long(value: float | None) -> str:
    """Minutes with their unit."""
    return f"{minutes(value)} min"


def _brief(band: str) -> str:
    """A band's name for a narrow chart."""
    return band.replace("under ", "< ").replace(" to ", DASH).replace(" and more", "+")
