"""pinotdb and SQLAlchemy, unmodified, against a node: connect, list tables and columns, read rows.

WEIR_BINARY names the binary. Starts a node of its own on free ports and ends it. Exit code 0 if all holds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import pinotdb
import sqlalchemy

DEADLINE = 60.0

TABLE = {
    "tableName": "orders",
    "schema": {
        "schemaName": "orders",
        "dimensionFieldSpecs": [
            {"name": "id", "dataType": "LONG"},
            {"name": "n", "dataType": "INT"},
            {"name": "country", "dataType": "STRING"},
            {"name": "tags", "dataType": "STRING", "singleValueField": False},
            {"name": "paid", "dataType": "BOOLEAN"},
            {"name": "payload", "dataType": "JSON"},
            {"name": "raw", "dataType": "BYTES"},
        ],
        "metricFieldSpecs": [
            {"name": "amount", "dataType": "DOUBLE"},
            {"name": "ratio", "dataType": "FLOAT"},
        ],
        "dateTimeFieldSpecs": [
            {"name": "ts", "dataType": "TIMESTAMP", "format": "1:MILLISECONDS:EPOCH", "granularity": "1:MILLISECONDS"}
        ],
    },
    "realtime": {
        "tableName": "orders",
        "tableType": "REALTIME",
        "segmentsConfig": {"timeColumnName": "ts", "replication": "1"},
        "tenants": {},
        "tableIndexConfig": {},
        "ingestionConfig": {
            "streamIngestionConfig": {
                "streamConfigMaps": [
                    {
                        "streamType": "local",
                        "stream.local.topic.name": "orders",
                        "stream.local.decoder.class.name":
                            "org.apache.pinot.plugin.inputformat.json.JSONMessageDecoder",
                        "stream.local.consumer.prop.auto.offset.reset": "smallest",
                    }
                ]
            }
        },
        "metadata": {},
    },
}


def row(number):
    return {
        "id": number,
        "n": number % 7,
        "country": "DE" if number % 2 == 0 else "O'Land",
        "tags": ["a", "b"],
        "paid": number % 3 == 0,
        "payload": {"k": number},
        "raw": "00ff",
        "amount": number / 2,
        "ratio": 0.5,
        "ts": 1_767_225_600_000 + number,
    }


class Node:
    """A node in a folder of its own."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        command = [os.environ["WEIR_BINARY"], "start", "--controller-port", "0", "--broker-port", "0"]
        command += ["--data-dir", os.path.join(self.dir.name, "data")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        addresses = {}
        for line in self.process.stdout:
            words = line.split()
            if words == ["ready"]:
                break
            if len(words) == 2:
                addresses[words[0]] = words[1]
        else:
            raise AssertionError(f"the node ended before it was ready: {self.process.wait()}")
        self.controller, self.broker = addresses["controller"], addresses["broker"]
        self.port = int(self.broker.rsplit(":", 1)[1])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE)
        self.dir.cleanup()
        assert code == 0, f"the node ended with {code}"

    def post(self, path, body):
        request = urllib.request.Request(
            self.controller + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.load(answer)


def eventually(what, attempt):
    """Tries until it is true; the last reason is told at the deadline."""
    until = time.monotonic() + DEADLINE
    while True:
        good, reason = attempt()
        if good:
            return
        assert time.monotonic() < until, f"{what} did not come: {reason}"
        time.sleep(0.01)


def db_api(node):
    connection = pinotdb.connect(host="127.0.0.1", port=node.port, path="/query/sql", scheme="http")
    cursor = connection.cursor()
    cursor.execute("SELECT id, n, country, tags, paid, payload, raw, amount, ratio, ts FROM orders WHERE id = %(id)s",
                   {"id": 42})
    names = [column[0] for column in cursor.description]
    assert names == ["id", "n", "country", "tags", "paid", "payload", "raw", "amount", "ratio", "ts"], names
    (found,) = cursor.fetchall()
    assert found[:5] == [42, 0, "DE", ["a", "b"], True], found
    assert found[5] == {"k": 42}, found
    assert found[6:9] == ["00ff", 21.0, 0.5], found
    assert str(found[9]).startswith("2026-01-01 00:00:00.042"), found

    cursor.execute("SELECT country, COUNT(*), SUM(amount) FROM orders WHERE country = %(country)s GROUP BY country",
                   {"country": "O'Land"})
    assert cursor.fetchall() == [["O'Land", 50, sum(i / 2 for i in range(100) if i % 2)]]

    for options in ("timeoutMs=5000", "useMultistageEngine=false"):
        cursor.execute("SELECT COUNT(*) FROM orders", queryOptions=options)
        assert cursor.fetchone() == [100]
    multistage = pinotdb.connect(host="127.0.0.1", port=node.port, path="/query/sql", scheme="http",
                                 use_multistage_engine=True)
    cursor = multistage.cursor()
    cursor.execute("SELECT COUNT(*) AS n FROM orders")
    assert cursor.fetchone() == [100]

    try:
        connection.cursor().execute("SELECT COUNT(*) FROM absent")
    except pinotdb.exceptions.DatabaseError as error:
        assert "190" in str(error), error
    else:
        raise AssertionError("a table that is not there is an error")


def sql_alchemy(node):
    url = f"pinot+http://127.0.0.1:{node.port}/query/sql?controller={node.controller}/"
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert inspector.get_table_names() == ["orders"], inspector.get_table_names()
    columns = {column["name"] for column in inspector.get_columns("orders")}
    assert columns == set(row(0)), columns
    with engine.connect() as connection:
        (count,) = connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM orders")).fetchone()
        assert count == 100, count
        table = sqlalchemy.Table("orders", sqlalchemy.MetaData(), autoload_with=engine)
        query = sqlalchemy.select(table.c.country, sqlalchemy.func.count()).group_by(table.c.country)
        rows = sorted(tuple(found) for found in connection.execute(query).fetchall())
        assert rows == [("DE", 50), ("O'Land", 50)], rows


def main():
    with Node() as node:
        node.post("/tableConfigs", TABLE)
        node.post("/topics/orders", {"records": [{"value": row(number)} for number in range(100)]})
        connection = pinotdb.connect(host="127.0.0.1", port=node.port, path="/query/sql", scheme="http")

        def complete():
            cursor = connection.cursor()
            cursor.execute("SELECT COUNT(*) FROM orders")
            found = cursor.fetchone()
            return found == [100], found

        eventually("the last row", complete)
        db_api(node)
        sql_alchemy(node)
    print("pinotdb and SQLAlchemy: all holds")


if __name__ == "__main__":
    sys.exit(main())
