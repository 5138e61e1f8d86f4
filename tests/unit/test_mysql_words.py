"""What is the MySQL store's own and needs no server: its statements' forms, its errors, its look at the user's SQL."""

import asyncio
import ssl
from typing import Any

import pytest
from asyncmy.errors import InterfaceError, InternalError, OperationalError

from sagabus.errors import (
    ConfigurationError,
    StatementRefused,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.mysql.connecting import arguments, lasting_arguments
from sagabus.stores.mysql.errors import of_our_own, translated
from sagabus.stores.mysql.prepared import forms, portions
from sagabus.stores.mysql.schema import names, statements_of
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.mysql.vetting import vet
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import table_names
from sagabus.stores.sql.steps import Query

NAMES = names(table_names("sagabus_", "`"), "sagabus_")
FORMS = forms(STATEMENTS, NAMES)


class TestForms:
    def test_every_parameter_has_its_place(self) -> None:
        ask = Query("hold", ("orders", "A1", 7))

        (parameters,) = FORMS["hold"].parameters(ask)

        assert FORMS["hold"].ready.sql.count("?") == len(parameters) == 5
        assert parameters == ("orders", "A1", 7, 7, 7)

    def test_a_set_to_look_up_is_one_text(self) -> None:
        (parameters,) = FORMS["known"].parameters(Query("known", rows=[("orders", "é'\"\\"), ("orders", "m2")]))

        assert parameters == ('[["orders","é\'\\"\\\\"],["orders","m2"]]',)

    def test_what_has_no_key_is_not_looked_for(self) -> None:
        (parameters,) = FORMS["wake"].parameters(Query("wake", rows=[("orders", None), ("orders", "A1")]))

        assert parameters == ('[["orders","A1"]]',)

    def test_a_set_too_large_for_one_text_is_cut(self) -> None:
        given = list(FORMS["remove"].parameters(Query("remove", rows=[(position,) for position in range(5000)])))

        assert len(given) == 2
        assert sum(text.count(",") + 1 for (text,) in given) == 5000  # type: ignore[attr-defined]

    def test_an_empty_set_is_still_a_question(self) -> None:
        assert list(FORMS["head"].parameters(Query("head", rows=[]))) == [("[]",)]

    @pytest.mark.parametrize("text", ["x" * 2005, "é" * 1003, "😀" * 502])
    def test_what_would_be_cut_short_is_refused(self, text: str) -> None:
        with pytest.raises(StoreError, match="longer than the 2004 bytes"):
            list(FORMS["known"].parameters(Query("known", rows=[("orders", text)])))

    def test_what_just_fits_is_passed(self) -> None:
        (parameters,) = FORMS["known"].parameters(Query("known", rows=[("orders", "😀" * 501)]))

        assert "😀" * 501 in str(parameters[0])

    @pytest.mark.parametrize("count", [1, 2, 3, 100, 255, 256, 257, 1000])
    def test_rows_to_write_go_in_few_sizes(self, count: int) -> None:
        rows = [(number,) for number in range(count)]

        cut = list(portions(rows, 1_000_000))

        assert [row for portion in cut for row in portion] == rows
        assert all(len(portion) in (1, 2, 4, 8, 16, 32, 64, 128, 256) for portion in cut)

    def test_rows_too_large_for_one_packet_go_in_several(self) -> None:
        rows = [("x" * 400,) for _ in range(8)] + [("y" * 5000,)]

        cut = list(portions(rows, 1000))

        assert [len(portion) for portion in cut] == [2, 2, 2, 2, 1]

    def test_each_row_to_write_has_a_place_for_each_column(self) -> None:
        form = FORMS["insert_envelopes"]

        assert form.with_values(3).count("?") == 3 * 16

    def test_a_migration_falls_into_its_statements(self) -> None:
        assert statements_of("CREATE TABLE a (x INT);\nINSERT INTO a VALUES (1);\n") == [
            "CREATE TABLE a (x INT)",
            "INSERT INTO a VALUES (1)",
        ]


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (1205, StoreBusy),
            (1213, StoreBusy),
            (1021, StoreFull),
            (1114, StoreFull),
            (1290, StoreReadOnly),
            (1792, StoreReadOnly),
            (1836, StoreReadOnly),
            (1045, StoreUnavailable),
            (1049, StoreUnavailable),
            (1053, StoreUnavailable),
            (1927, StoreUnavailable),
            (2003, StoreUnavailable),
            (2006, StoreUnavailable),
            (2013, StoreUnavailable),
            (1034, StoreCorrupt),
        ],
    )
    def test_what_is_of_the_database_is_known_by_its_number(self, code: int, kind: type[StoreError]) -> None:
        error = translated(OperationalError(code, "aucune importance"), "mysql://there/db")

        assert type(error) is kind
        assert "mysql://there/db" in str(error)

    @pytest.mark.parametrize("code", [1062, 1406, 1048, 1064, 1452, 3819, 4025])
    def test_what_is_of_a_statement_is_not_of_the_database(self, code: int) -> None:
        assert translated(OperationalError(code, "Deadlock found; Lost connection; read-only"), "there") is None

    @pytest.mark.parametrize(
        "error",
        [
            InterfaceError(0, "Not connected"),
            InternalError("Packet sequence number wrong"),
            ConnectionResetError(),
            EOFError(),
            AssertionError(),
        ],
    )
    def test_what_has_no_number_is_a_connection_gone(self, error: Exception) -> None:
        assert isinstance(translated(error, "there"), StoreUnavailable)

    def test_a_table_of_ours_that_is_gone_may_come_back(self) -> None:
        assert isinstance(of_our_own(OperationalError(1146, "no such table"), "there"), StoreUnavailable)

    def test_any_other_fault_of_ours_is_reported_as_it_is(self) -> None:
        error = of_our_own(OperationalError(1064, "near 'x'"), "there")

        assert type(error) is StoreError
        assert "near 'x'" in str(error)

    def test_the_error_names_the_way_out(self) -> None:
        assert "CREATE DATABASE" in str(translated(OperationalError(1049, "Unknown database"), "there"))


class TestVetting:
    @pytest.mark.parametrize(
        "sql",
        [
            "INSERT INTO ledger VALUES (%s)",
            "/* why */ UPDATE ledger SET a = 1--1",
            "-- why\nDELETE FROM ledger",
            "# why\nSELECT 1;",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "REPLACE INTO ledger VALUES ('; COMMIT', \"it's\", 'it\\'s', `od``d`)",
        ],
    )
    def test_the_users_own_rows_are_the_users(self, sql: str) -> None:
        vet(sql, "sagabus_")

    @pytest.mark.parametrize(
        "sql",
        [
            "COMMIT",
            "# why\nCOMMIT",
            "-- why\nCOMMIT",
            "--\tCOMMIT\nROLLBACK",
            "UPDATE ledger SET a = 1--1; COMMIT",
            "INSERT INTO ledger VALUES (1) # '\n; COMMIT; -- '",
            "INSERT INTO ledger VALUES ('\\'); COMMIT; -- ')\n; COMMIT",
            'INSERT INTO ledger VALUES ("\\"); COMMIT; -- ")\n; COMMIT',
            "SELECT $$ ; COMMIT; $$",
            "/*! COMMIT */",
            "SELECT 1 /*M! ; COMMIT */",
            "SET autocommit = 1",
            "TRUNCATE TABLE ledger",
            "CREATE TEMPORARY TABLE t (x INT)",
            "ALTER TABLE ledger ADD x INT",
            "RENAME TABLE ledger TO l",
            "LOCK TABLES ledger WRITE",
            "FLUSH TABLES",
            "ANALYZE TABLE ledger",
            "CHECK TABLE ledger",
            "CACHE INDEX ledger IN hot",
            "BINLOG 'x'",
            "CHANGE MASTER TO MASTER_HOST = 'x'",
            "STOP SLAVE",
            "CALL vandal()",
            "EXECUTE IMMEDIATE 'COMMIT'",
            "XA END 'x'",
            "DO SLEEP(1)",
            "SHOW TABLES",
            "DELETE FROM sagabus_envelope",
            "DELETE FROM `SAGABUS_envelope`",
            "SELECT * FROM other.`sagabus_inbox`",
            "SELECT 1 AS $$, (SELECT COUNT(*) FROM sagabus_inbox) AS $$",
            "",
            "-- nothing",
        ],
    )
    def test_what_is_the_bus_own_is_refused(self, sql: str) -> None:
        with pytest.raises(StatementRefused):
            vet(sql, "sagabus_")


class TestAddress:
    def told(self, url: str) -> dict[str, Any]:
        address = Address.of(url)
        lasting_arguments(address)
        return asyncio.run(arguments(address))

    def test_everything_can_be_said_in_the_url(self) -> None:
        told = self.told(
            "mysql://m%C3%A9:p%40%2F%3A@db.example:3307/my%20shop?unix_socket=/run/x.sock&prefix=b_&pool=3"
        )

        assert (told["user"], told["password"], told["host"], told["port"]) == ("mé", b"p@/:", "db.example", 3307)
        assert (told["database"], told["unix_socket"], told["ssl"]) == ("my shop", "/run/x.sock", None)

    def test_little_has_to_be_said(self) -> None:
        told = self.told("mariadb://localhost/shop")

        assert (told["user"], told["password"], told["port"]) == (None, b"", 3306)

    @pytest.mark.parametrize(
        ("wish", "mode"), [("verify", ssl.CERT_REQUIRED), ("unverified", ssl.CERT_NONE), ("off", None)]
    )
    def test_encryption_is_by_choice(self, wish: str, mode: ssl.VerifyMode | None) -> None:
        context = self.told(f"mysql://h/d?ssl={wish}")["ssl"]

        assert (context.verify_mode if context else None) == mode

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("mysql://host", "names no database"),
            ("mysql://host/", "names no database"),
            ("mysql://host/db?sslmode=require", "the option 'sslmode' is not known"),
            ("mysql://host/db?ssl=maybe", "off, unverified or verify"),
            ("mysql://host/db?ssl_ca=/no/such/file", "cannot be read"),
            ("mysql://host:x/db", "port"),
            ("mysql://host/db?pool=none", "pool"),
            ("mysql://u:p@one:3306,two:3307/db", "mysql://one:3306,two:3307/db: one host"),
        ],
    )
    def test_a_url_that_cannot_be_used_says_why(self, url: str, why: str) -> None:
        with pytest.raises(ConfigurationError, match=why):
            MysqlStore(url)

    def test_no_password_is_ever_shown(self) -> None:
        store = MysqlStore("mysql://user:s3cret@127.0.0.1:3306/db")

        assert store.place == "mysql://127.0.0.1:3306/db"
        assert "s3cret" not in repr(store)
