"""Each claim of `docs/sqlite-and-postgres.md` is held by tests, which are named here."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.parity.test_expressions import EXPRESSIONS
from tests.parity.test_values import STORED

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "sqlite-and-postgres.md").read_text(encoding="utf-8")

CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.:])(?:\*\*)? (?=[A-Z`*])")
WORDS = 6
"""How many words of a sentence name it here."""

EQUAL = (
    "types/test_equal.py::test_values_come_back_as_they_were",
    "types/test_equal.py::test_sql_compares_and_orders_as_python_does",
)
UNITS = "parity/test_portable.py::test_what_sqlite_computes_of_what_is_stored"
OPERATORS = "types/test_refused.py::test_operators_that_would_differ"
WRITTEN = "migrations/test_commands.py::test_a_revision_can_be_generated_from_the_models"
SAME_ROWS = "engine/test_parity.py::test_rows_are_stored_as_add_stores_them"

HELD: dict[str, tuple[str, ...]] = {
    "The same program runs on both,": ("test_readme.py::test_quick_start_runs_on_both_databases",),
    "This page says what `repo` makes": (),
    "What is said here of SQLite": ("test_database.py::test_an_engine_of_the_users",),
    # What repo makes equal
    "transactions": (
        "dialects/test_sqlite.py::test_ddl_rolls_back",
        "dialects/test_sqlite.py::test_a_savepoint_undoes_its_part_and_a_rollback_all",
    ),
    "foreign keys": ("engine/test_changes.py::test_the_databases_cascades_apply",),
    "errors": ("test_mistakes.py::test_a_mistake_is_told_as_the_table_says",),
    "names of constraints": ("test_model.py::test_names_are_the_same_everywhere",),
    "a failed statement": (
        "scopes/test_transaction.py::test_a_caught_failure_fails_the_transaction",
        "scopes/test_savepoint.py::test_a_failure_caught_inside_a_savepoint",
    ),
    "NULL in an order": ("test_reads.py::test_null_sorts_as_the_largest_value",),
    "moments, decimals, UUIDs, enumerations, JSON": EQUAL,
    "`float` on `repo.Base`": ("parity/test_set_up.py::test_a_float_is_a_double",),
    "cancellation": ("scopes/test_timeouts.py::test_a_time_out_around_a_long_statement",),
    "columns that triggers fill": ("zoo/test_zoo.py::test_writes_do_what_they_say",),
    "many keys": ("test_reads.py::test_get_many_takes_more_keys_than_a_statement_does",),
    # Types that are the same
    "What goes into a column of": (*EQUAL, "types/test_equal.py::test_pages_are_what_a_sort_gives"),
    "A value that one of them": ("types/test_refused.py::test_values_that_one_database_could_not_keep", OPERATORS),
    "Alembic writes them into revisions as": (WRITTEN,),
    "`UTCDateTime`": (WRITTEN, "types/test_moments.py::test_a_moment_comes_back_in_utc"),
    "`ExactDecimal(12, 2)`": (WRITTEN, "types/test_decimals.py::test_decimals_have_their_places", UNITS),
    "`ExactDecimal(30, 2)`: more than 18 digits": (WRITTEN, "types/test_decimals.py::test_many_digits_are_all_kept"),
    "`Uuid`": (WRITTEN, "types/test_enums.py::test_uuids_are_pythons_own"),
    "`TextEnum(Status)`": (WRITTEN, "types/test_enums.py::test_members_sort_by_name"),
    "`Json`": (WRITTEN, "types/test_documents.py::test_none_is_null"),
    "**Moments, UUIDs and members.": (),
    "They are compared and sorted.": EQUAL,
    "Moments are not subtracted, which SQLite": (OPERATORS,),
    "Postgres has no `min` and `max`": ("parity/test_portable.py::test_the_largest_uuid",),
    "**Decimals.": (),
    "SQLite has none:": (),
    "SQLAlchemy's `Numeric` becomes a float there,": ("parity/test_values.py::test_a_sum_of_numerics_in_a_condition",),
    "As whole numbers, up to 18": (*EQUAL, "types/test_equal.py::test_sums_are_exact", UNITS),
    "More digits are compared and sorted,": ("types/test_decimals.py::test_many_digits_are_all_kept",),
    "Every other operator, and decimals of": (OPERATORS, "types/test_refused.py::test_equalities_that_would_differ"),
    "An average, where it is told": ("types/test_decimals.py::test_what_is_no_decimal_of_the_column_is_told",),
    "What remains is what SQLite computes": (UNITS,),
    "a function that SQLAlchemy does not know, `avg`, `abs` or `round`, and `cast`": (UNITS,),
    "a constant beside a decimal in `coalesce` or `case`, other than 0": (UNITS,),
    "a column of another type on the left of `<` or `+`, or written into a decimal": (
        UNITS,
        "parity/test_portable.py::test_a_number_that_is_written_into_a_decimal",
    ),
    "a `text`, a CHECK constraint and a `server_default`": (
        UNITS,
        "parity/test_portable.py::test_a_check_of_a_decimal",
    ),
    "**JSON.": (),
    "`Json` refuses NaN, keys that are": ("types/test_refused.py::test_values_that_one_database_could_not_keep",),
    "A float from 10¹⁶ on comes": ("types/test_documents.py::test_any_value_comes_back",),
    "Documents are compared by `==`, `!=`": (
        "types/test_documents.py::test_documents_are_compared_by_what_they_say",
        "types/test_documents.py::test_parts_are_read_as_what_they_are",
    ),
    "What remains:": (),
    "a document with 1 where another has 1.0": ("parity/test_portable.py::test_one_and_its_float_in_a_document",),
    "a part that is read without saying what it is": (UNITS,),
    "a part that is no number, `as_integer()`": ("parity/test_portable.py::test_a_word_that_is_read_as_a_number",),
    "a null of SQLAlchemy's own `JSON`": ("parity/test_values.py::test_a_null_of_sqlalchemys_own_json",),
    # Other types
    "SQLite stores in a column whatever": ("parity/test_values.py::test_values_that_only_one_database_would_take",),
    **dict.fromkeys(STORED, ("parity/test_values.py::test_values_that_only_one_database_would_take",)),
    "a text that is no member of an `Enum` column": ("parity/test_values.py::test_a_text_that_is_no_member",),
    'a key of another type, as `get("1")`': ("parity/test_values.py::test_a_key_of_another_type",),
    "a sum of `Numeric` inside of a condition": ("parity/test_values.py::test_a_sum_of_numerics_in_a_condition",),
    "`bool`, `date`, `timedelta`, `bytes`, `UUID`, `JSON`": (
        SAME_ROWS,
        "zoo/test_zoo.py::test_writes_do_what_they_say",
    ),
    "A table with a type of": ("parity/test_values.py::test_types_of_one_database",),
    # Expressions
    **dict.fromkeys(EXPRESSIONS, ("parity/test_expressions.py::test_expressions_that_differ",)),
    "`ilike`, `lower()`": ("parity/test_expressions.py::test_letters_of_a_language",),
    "order of texts": ("parity/test_expressions.py::test_order_of_texts",),
    "ORDER BY": ("parity/test_expressions.py::test_nulls_in_an_order",),
    "`func.now()`": ("parity/test_expressions.py::test_now",),
    "`extract()` of a moment with a time zone": ("parity/test_expressions.py::test_a_part_of_a_moment",),
    "a moment in a `text`": ("parity/test_expressions.py::test_a_moment_in_a_text",),
    "parameters in one statement": ("parity/test_expressions.py::test_parameters_of_one_statement",),
    "`with_for_update()`": (
        "parity/test_expressions.py::test_for_update",
        "scopes/test_increments.py::test_a_locking_read",
    ),
    # Keys that the database makes
    "of the last row, after that was deleted": ("parity/test_keys.py::test_the_key_of_a_row_that_was_deleted",),
    "of a row that was rolled back": ("parity/test_keys.py::test_the_key_of_a_row_that_was_rolled_back",),
    # Concurrency
    "who may write": (
        "parity/test_concurrency.py::test_who_may_write",
        "engine/test_turns.py::test_first_come_first_served",
        "scopes/test_processes.py::test_increments_by_several_processes",
    ),
    "when it takes the lock": ("parity/test_concurrency.py::test_when_the_lock_is_taken",),
    "readers": ("parity/test_concurrency.py::test_readers_never_wait",),
    "isolation": (
        "parity/test_concurrency.py::test_isolation",
        "scopes/test_transaction.py::test_isolation_levels",
    ),
    "read, then write, in concurrent transactions": ("scopes/test_increments.py::test_the_plain_way",),
    "waiting for a lock ends": (
        "scopes/test_time_limits.py::test_a_lock_that_is_not_to_be_had",
        "scopes/test_time_limits.py::test_another_process_that_writes",
        "scopes/test_processes.py::test_a_lock_that_is_held_too_long",
    ),
    "`settings=`": ("parity/test_concurrency.py::test_settings",),
    "a snapshot's further connections": ("scopes/test_snapshot.py::test_connections_join_and_go",),
    "`add_many`": (
        "parity/test_concurrency.py::test_how_many_rows_are_added",
        "engine/test_sources.py::test_nobody_waits_for_a_source",
    ),
    "a long reader": ("parity/test_concurrency.py::test_a_long_reader",),
    # How each is set up
    "`sqlite+aiosqlite:///app.db`": ("parity/test_set_up.py::test_where_the_file_is",),
    "`sqlite+aiosqlite:///:memory:`": ("dialects/test_sqlite.py::test_memory_is_a_private_file",),
    "`sqlite+aiosqlite:///file:app.db?mode=ro&uri=true`": (
        "dialects/test_sqlite.py::test_a_file_that_can_only_be_read_can_be_read",
    ),
    "a connection of `Database`": ("dialects/test_sqlite.py::test_every_connection_is_set_up",),
    "`postgresql+asyncpg://user:password@host/name`": (
        "dialects/test_registry.py::test_a_url_without_a_driver_means_the_asynchronous_one",
        "engine/test_connecting.py::test_libpq_names_the_way_to_encrypt",
    ),
    "just-in-time compilation": ("parity/test_set_up.py::test_settings_of_the_server",),
    "a connection that nobody used for a second": (
        "scopes/test_broken_connections.py::test_a_connection_that_does_not_answer_after_a_pause",
    ),
    '`engine_options={"connect_args": {"server_settings": {...}}}`': (
        "parity/test_set_up.py::test_settings_of_the_server",
    ),
    "An argument of the URL that": ("engine/test_connecting.py::test_a_url_that_makes_no_sense_is_refused_at_once",),
}
"""The tests of each row of a table, by its first cell, and of each sentence, by its first words.

Sentences that only lead to others, and what is said of a database by its own documentation, have none.
"""


def claims() -> Iterator[str]:
    """Each row and each sentence of the page."""
    for block in CODE.sub("", PAGE).split("\n\n"):
        lines = block.strip().splitlines()
        if block.lstrip().startswith("|"):
            yield from (line.strip("| ").split(" | ")[0] for line in lines[2:])
        elif lines and not lines[0].startswith("#"):
            yield from (" ".join(each.split()[:WORDS]) for each in SENTENCE.split(" ".join(lines)))


def names_in(path: str) -> set[str]:
    """The names of the functions in a file of tests."""
    nodes = ast.walk(ast.parse((TESTS / path).read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_claim_is_held() -> None:
    """What the page says, and what is listed here, is the same; nothing is said twice."""
    said = Counter(claims())
    assert sorted(said) == sorted(HELD)
    assert [claim for claim, times in said.items() if times > 1] == []


def test_what_holds_a_claim_is_there() -> None:
    """Each test that is listed here can be run."""
    listed = {named for tests in HELD.values() for named in tests}
    files = {named.partition("::")[0] for named in listed}
    assert listed - {f"{path}::{name}" for path in files for name in names_in(path)} == set()
