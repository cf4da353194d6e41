"""The peers of the measurements: DuckDB and chDB on a file of the same events, one thread each, in process.

    peers.py ingest duckdb|chdb FILE [FORMAT]      -> {"rows", "core_s", "version"}, or {"unread": why}
    peers.py query duckdb|chdb FILE QUERIES RUNS   -> {"medians_ms", "version"}
"""

import json
import resource
import statistics
import sys
import tempfile
import time

COLUMNS = {
    "ts": "BIGINT",
    "user_id": "BIGINT",
    "session": "VARCHAR",
    "country": "VARCHAR",
    "city": "VARCHAR",
    "device": "VARCHAR",
    "event_type": "VARCHAR",
    "url": "VARCHAR",
    "referrer": "VARCHAR",
    "status": "INTEGER",
    "latency": "BIGINT",
    "price": "DOUBLE",
    "quantity": "INTEGER",
}


def core_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Unread(Exception):
    """The peer does not read the format."""


class DuckDb:
    def __init__(self, folder):
        import duckdb

        self.version = duckdb.__version__
        self.db = duckdb.connect(f"{folder}/events.duckdb")
        self.db.execute("SET threads = 1")

    def load(self, file, kind):
        columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items()) + "}"
        readers = {
            "json": f"read_json('{file}', format = 'newline_delimited', columns = {columns})",
            "csv": f"read_csv('{file}', header = false, auto_detect = false, columns = {columns})",
        }
        if kind not in readers:
            raise Unread(f"without an extension it does not read {kind}")
        self.db.execute(f"CREATE TABLE t AS SELECT * FROM {readers[kind]}")
        self.db.execute("CHECKPOINT")

    def ask(self, sql):
        return self.db.execute(sql.replace("{t}", "t")).fetchall()


class ChDb:
    KINDS = {"BIGINT": "Int64", "VARCHAR": "String", "INTEGER": "Int32", "DOUBLE": "Float64"}

    def __init__(self, folder):
        import chdb
        from chdb import session

        self.version = chdb.__version__
        self.session = session.Session(f"{folder}/chdb")
        self.session.query("CREATE DATABASE IF NOT EXISTS d")
        self.session.query("SET max_threads = 1, max_insert_threads = 1")

    def load(self, file, kind):
        columns = ", ".join(f"{name} {self.KINDS[kind]}" for name, kind in COLUMNS.items())
        reader = {"json": "JSONEachRow", "csv": "CSV", "avro": "Avro", "protobuf": "Protobuf"}[kind]
        more = f", format_schema = '{file.removesuffix('protobuf')}proto:Event'" if kind == "protobuf" else ""
        self.session.query(f"CREATE TABLE d.t ({columns}) ENGINE = MergeTree ORDER BY ts")
        self.session.query(
            f"INSERT INTO d.t SELECT * FROM file('{file}', {reader}, '{columns}')"
            f" SETTINGS max_threads = 1, max_insert_threads = 1{more}"
        )

    def ask(self, sql):
        text = str(self.session.query(sql.replace("{t}", "d.t"), "JSONCompact"))
        return json.loads(text)["data"]


def main():
    what, peer, file = sys.argv[1:4]
    with tempfile.TemporaryDirectory() as folder:
        engine = {"duckdb": DuckDb, "chdb": ChDb}[peer](folder)
        before = core_seconds()
        try:
            engine.load(file, sys.argv[4] if what == "ingest" and len(sys.argv) > 4 else "json")
        except Unread as why:
            print(json.dumps({"unread": str(why), "version": engine.version}))
            return
        spent = core_seconds() - before
        rows = int(engine.ask("SELECT COUNT(*) AS n FROM {t}")[0][0])
        if what == "ingest":
            print(json.dumps({"rows": rows, "core_s": spent, "version": engine.version}))
            return
        medians = []
        for sql in json.loads(sys.argv[4]):
            times = []
            for _ in range(int(sys.argv[5])):
                begun = time.perf_counter()
                engine.ask(sql)
                times.append((time.perf_counter() - begun) * 1e3)
            medians.append(statistics.median(times))
        print(json.dumps({"medians_ms": medians, "version": engine.version}))


main()
