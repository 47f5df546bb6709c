"""The report: every question, asked of one scope, all at once or one at a time."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import repo
from examples.flights import reckoning
from examples.flights.answers import Answers
from examples.flights.repositories import Airlines, Airports, Flights, Planes, WeatherReports

R = TypeVar("R", bound=repo.Repository[Any])
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Question(Generic[R, Found]):
    """A method of a repository, what makes the answer of what it returns, and a title for people."""

    title: str
    repository: type[R]
    method: Callable[[R], Coroutine[Any, Any, Found]]
    answer: Callable[[Found], Any]

    @property
    def name(self) -> str:
        """The method's name, which is the answer's, too."""
        return self.method.__name__

    def ask(self, scope: Any) -> Coroutine[Any, Any, Found]:
        """The question as a coroutine that asks the scope."""
        return self.method(self.repository(scope))


# The longest first: what is left for the end is short, so the connections are done together.
QUESTIONS: tuple[Question[Any, Any], ...] = (
    Question("Late after late", Flights, Flights.knock_on, reckoning.knock_on),
    Question("Wind", WeatherReports, WeatherReports.wind, reckoning.wind),
    Question("Rain", WeatherReports, WeatherReports.rain, reckoning.rain),
    Question("Visibility", WeatherReports, WeatherReports.visibility, reckoning.visibility),
    Question("Busiest routes", Airports, Airports.busiest_routes, reckoning.routes),
    Question("Age of aircraft", Planes, Planes.aircraft_age, reckoning.aircraft_age),
    Question("Size of aircraft", Planes, Planes.aircraft_size, reckoning.aircraft_size),
    Question("Cancellations", Airports, Airports.cancellations, reckoning.cancellations),
    Question("Use of aircraft", Planes, Planes.aircraft_utilisation, reckoning.utilisation),
    Question("Destinations", Airports, Airports.destinations, reckoning.destinations),
    Question("Airlines", Airlines, Airlines.by_carrier, reckoning.carriers),
    Question("Spread of delays", Airlines, Airlines.delay_spread, reckoning.delay_spread),
    Question("Made up in the air", Flights, Flights.made_up_in_the_air, reckoning.made_up),
    Question("Days of the week", Flights, Flights.by_weekday, reckoning.weekdays),
    Question("Months", Flights, Flights.by_month, reckoning.months),
    Question("Hours of the day", Flights, Flights.by_hour, reckoning.hours),
    Question("Totals", Flights, Flights.totals, reckoning.year),
    Question("What the data holds", Flights, Flights.extent, reckoning.extent),
)


async def ask(scope: Any, *, one_at_a_time: bool = False) -> Answers:
    """Every answer. All questions are asked at once, or each when the one before is answered."""
    questions = [question.ask(scope) for question in QUESTIONS]
    found = await repo.gather(*questions, limit=1 if one_at_a_time else None)
    return Answers(**{question.name: question.answer(rows) for question, rows in zip(QUESTIONS, found, strict=True)})
