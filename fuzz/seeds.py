"""Writes the seeds of the decoders' targets with other people's serializers, and the descriptor set of schemas/message.proto.

    pip install fastavro protobuf grpcio-tools pyarrow pymongo cbor2
    python fuzz/seeds.py

Needed where a schema of the targets changes or seeds are to be added; the files are committed.
"""

import datetime
import decimal
import io
import json
import pathlib
import uuid

import bson
import cbor2
import fastavro
import grpc_tools
import pyarrow as pa
import pyarrow.ipc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

here = pathlib.Path(__file__).parent
MS = 1767225600123


def seed(target, name, content):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


plain = {
    "i": 7, "l": 1 << 40, "f": 1.5, "d": -0.25, "b": True, "ts": MS, "at": MS, "s": "two, words é😀", "short": "RED",
    "strict": "x", "by": "0aff", "u": "123e4567-e89b-12d3-a456-426614174000", "bd": "12345678901234567890.125",
    "is": [1, 2], "ls": [3], "fs": [0.5, 1.5], "ds": [2.5], "bs": [True, False], "tss": [MS], "ss": ["a", "b"],
    "bys": ["00", "ff"], "m": {"k": "v"}, "j": {"a": [{"b": 1}, {"b": None}]}, "o": {"x": 2.5}, "name": "Name",
    "items": [{"id": 1, "name": "one"}, {"id": 2, "more": [{"x": 1}, {"x": 2}]}], "payload": {"more": "2026-01-01"},
}
nulls = {key: None for key in plain} | {"at": MS}
odd = plain | {
    "i": "17", "l": "-9223372036854775808", "f": 1e300, "b": "TRUE", "ts": "2026-01-31 12:30:05.25", "s": 5,
    "is": "1", "ss": "one", "j": "[1, 2]", "m": '{"a": 1}', "bd": -1e40, "u": "x", "by": "", "items": {"id": "5"},
}
text = json.dumps
seed("json", "good", text(plain))
seed("json", "nulls", text(nulls))
seed("json", "odd", text(odd, ensure_ascii=False))
seed("json", "spaces", "\ufeff \n{ \"i\" :\t1e2 , \"i\": -0, \"s\":\"\\u00e9\\ud83d\\ude00\\n\\/\", \"j\":[[[{}]]], \"at\":1767225600000 } \n")
seed("json", "tail", '{"i":1}{"i":2}')
seed("json-confluent", "good", b"\0\0\0\0\1" + text(plain).encode())
seed("json-confluent", "short", b"\0\0\0\0")
seed("json-binary", "good-cbor", cbor2.dumps(plain))
seed("json-binary", "odd-cbor", cbor2.dumps(odd | {"by": b"\0\xff", "bd": decimal.Decimal("1.5"), "l": 1 << 70, "j": {"n": float("nan"), "t": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)}}))
long = io.BytesIO()
long.write(b"\xbf\x61i\x1a\x00\x01\x00\x00\x61s\x7f\x61a\x61b\xff\x62is\x9f\x01\x02\xff\x62by\x5f\x41\x01\xff\x61j\xf9\x3e\x00\x62at\x1b\x00\x00\x01\x9b\x76\xda\x08\x00\xff")
seed("json-binary", "indefinite-cbor", long.getvalue())
seed("json-binary", "text", text(plain))
# good-smile and shared-smile are the same in Smile, by the crate serde-smile: Python has no writer of it that runs.

row = '7,8,1.5,-0.25,true,1767225600123,1767225600123,"two, ""words""",RED,x,0aff,123e4567-e89b-12d3-a456-426614174000,1.50,1,a,"[1,2]","{""a"":1}"'
seed("csv", "good", row)
seed("csv", "several", row.replace(",1,a,", ",1;2,a;b,"))
seed("csv", "lines", "\n\r\n# comment\r\n" + row + "\r\n1,2\n")
seed("csv", "quotes", "'a|b'|\\'x\\\\|- | 3 ;4|#\n")
seed("csv", "header", "first\ni,at,s\n1,1767225600000,\"x\ny\"\n")
seed("csv", "tabs", "1\t\\N\t3\\\t4\t\"x\"\ttrue\t5\t1767225600000\tx\\n")

schema = json.loads((here / "schemas" / "message.avsc").read_text())
parsed = fastavro.parse_schema(schema)
record = {
    "other": {"k": 1, "n": None}, "i": -7, "l": 1 << 40, "f": 1.5, "d": -0.25, "b": True,
    "ts": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), "at": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    "s": "two, words é", "short": "BLUE", "strict": "x", "by": b"\0\xff", "u": uuid.UUID(plain["u"]),
    "bd": decimal.Decimal("-12345.6789"), "is": [1, None, 2], "ss": ["a", "b"], "m": {"k": "v"},
    "j": {"raw": b"\1\2", "next": {"raw": b"\3\4", "next": None, "nothing": [None]}, "nothing": []},
    "items": [{"id": 1, "name": "one"}, {"id": 2, "name": None}],
}


def avro(value, of=parsed):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, of, value)
    return out.getvalue()


empty = record | {"other": {}, "l": None, "s": None, "strict": datetime.date(2026, 1, 1), "is": [], "ss": [], "m": {}, "items": [], "bd": decimal.Decimal(0)}
seed("avro", "good", avro(record))
seed("avro", "empty", avro(empty))
# A block with its length in bytes, as writers that skip make them: a negative count first.
seed("avro", "block", b"\x01\x06\x02k\x00\x00" + avro(empty)[1:])
seed("avro-confluent", "good", b"\0\0\0\0\1" + avro(record))
money = fastavro.parse_schema({"type": "record", "name": "R", "fields": [
    {"name": "o", "type": {"type": "record", "name": "c.Money", "fields": [{"name": "x", "type": "double"}]}}, {"name": "i", "type": "int"}]})
seed("avro-confluent", "referring", b"\0\0\0\0\2" + avro({"o": {"x": 0.5}, "i": 3}, money))
for number in (3, 5, 9):
    seed("avro-confluent", f"number-{number}", bytes([0, 0, 0, 0, number, 2]))
seed("avro-hashed", "good", b"\0" + b"\1" * 16 + avro(record))
seed("avro-hashed", "referring", b"\0" + b"\2" * 16 + avro({"o": {"x": 0.5}, "i": 3}, money))
seed("avro-hashed", "short", b"\0" + b"\1" * 15)
seed("avro-schema", "message", (here / "schemas" / "message.avsc").read_bytes() + b"\0" + avro(record))
small = [
    ({"type": "record", "name": "r", "fields": [{"name": "i", "type": "int"}, {"name": "s", "type": ["null", "string"], "default": None}]}, {"i": 1, "s": "x"}),
    ({"type": "record", "name": "n", "namespace": "a.b", "fields": [{"name": "at", "type": "long"}, {"name": "j", "type": ["null", "n"], "aliases": ["x"]}]}, {"at": MS, "j": {"at": 1, "j": None}}),
    ({"type": "record", "name": "t", "fields": [{"name": "d", "type": {"type": "int", "logicalType": "time-millis"}}, {"name": "bd", "type": {"type": "fixed", "name": "f", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2}}]}, {"d": datetime.time(1, 2, 3), "bd": decimal.Decimal("1.25")}),
]
for at, (of, value) in enumerate(small):
    seed("avro-schema", f"small-{at}", json.dumps(of).encode() + b"\0" + avro(value, fastavro.parse_schema(of)))

descriptors = here / "schemas" / "message.desc"
include = pathlib.Path(grpc_tools.__file__).parent / "_proto"
failed = protoc.main(["protoc", f"-I{here / 'schemas'}", f"-I{include}", "--include_imports", f"--descriptor_set_out={descriptors}", "message.proto"])
assert failed == 0
pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
    pool.Add(file)
Message = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Message"))
proto = Message(
    i=-7, l=1 << 40, f=1.5, d=-0.25, b=True, at=MS, s="two, words é", short=1, strict=9, by=b"\0\xff", u=plain["u"], bd="12.50",
    ss=["a", "b"], m={"k": "v"}, items=[{"id": 1, "name": "one"}, {"id": 2}], j={"raw": b"\1", "next": {"raw": b"\2"}, "more": [{}]}, got=[1],
)
getattr(proto, "is").extend([1, -2])
proto.ls.extend([3, 4])
proto.o[5].raw = b"\3"
written = proto.SerializeToString()
# Where records are made flat a Timestamp is an object.
proto.ts.FromMilliseconds(MS)
seed("protobuf", "time", proto.SerializeToString())
few = Message(at=MS, text="t").SerializeToString()
seed("protobuf", "good", written)
seed("protobuf", "few", few)
seed("protobuf", "none", b"")
# Not packed, an unknown field, an unknown enum, a group, a field twice.
seed("protobuf", "odd", few + b"\x78\x02\x78\x04\xb8\x3e\x01\x48\x63\xa3\x06\x08\x01\xa4\x06\x42\x01a\x42\x01b")
seed("protobuf-confluent", "good", b"\0\0\0\0\1\0" + written)
seed("protobuf-confluent", "index", b"\0\0\0\0\2\2\2" + b"\x0a\x09\x09" + b"\0" * 8 + b"\x10\x05")
seed("protobuf-confluent", "inner", b"\0\0\0\0\2\4\2\0" + b"\x09" + b"\0" * 8)
seed("protobuf-confluent", "old", b"\0\0\0\0\3\0" + b"\x08\x01\x12\x01x\x1b\x20\x05\x1c")
seed("protobuf-confluent", "none", b"\0\0\0\0\4\0")
seed("protobuf-schema", "message", (here / "schemas" / "message.proto").read_bytes() + b"\0" + written)
seed("protobuf-schema", "small", b'syntax = "proto3"; message M { string s = 2; int64 at = 1; repeated int32 is = 3 [packed = false]; map<string, M> m = 4; }\0' + b"\x08\x01\x12\x01x\x18\x05")
seed("protobuf-schema", "old", b'syntax = "proto2"; package a.b; import public "google/protobuf/any.proto"; message M { optional group G = 1 { required bool b = 2; } extensions 100 to max; oneof x { int32 i = 5; } enum E { option allow_alias = true; A = 0; B = 0; } reserved 7, 9 to 11; }\0' + b"\x0b\x10\x01\x0c")

fields = {
    "i": pa.array([7, None], pa.int32()), "l": pa.array([1 << 40, -1], pa.int64()), "f": pa.array([1.5, None], pa.float32()),
    "d": pa.array([-0.25, 1e300], pa.float64()), "b": pa.array([True, False]), "ts": pa.array([MS, 0], pa.timestamp("ms")),
    "at": pa.array([MS, MS], pa.int64()), "s": pa.array(["two, words é", None]), "short": pa.array(["RED", "RED"]).dictionary_encode(),
    "strict": pa.array(["x", "y"], pa.large_string()), "by": pa.array([b"\0\xff", b""], pa.binary()),
    "u": pa.array([plain["u"]] * 2), "bd": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(20, 2)),
    "is": pa.array([[1, None, 2], []], pa.list_(pa.int32())), "ss": pa.array([["a", "b"], None], pa.list_(pa.string())),
    "j": pa.array([{"a": [1, 2]}, {"a": None}]), "m": pa.array([[("k", "v")], []], pa.map_(pa.string(), pa.string())),
    "items": pa.array([[{"id": 1, "name": "one"}, {"id": 2, "name": None}], []]),
}


def arrow(columns, options=None, batches=1):
    out = io.BytesIO()
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    with pyarrow.ipc.new_stream(out, batch.schema, options=options) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return out.getvalue()


def only(*names):
    return {name: fields[name] for name in names}


seed("arrow", "good", arrow(fields))
seed("arrow", "lz4", arrow(only("at", "s", "is", "short"), pyarrow.ipc.IpcWriteOptions(compression="lz4"), 2))
seed("arrow", "zstd", arrow(only("at", "i", "ss", "m"), pyarrow.ipc.IpcWriteOptions(compression="zstd")))
seed("arrow", "nested", arrow(only("at", "j", "items")))
seed("arrow", "no-rows", arrow({"i": pa.array([], pa.int32())}))
more = {
    "i": pa.array([1, 2], pa.date32()), "l": pa.array([1, 2], pa.uint64()), "d": pa.array([1, 2], pa.time64("us")), "f": pa.array([1, 2], pa.float16()),
    "s": pa.array(["x", "a long text, longer than twelve"], pa.string_view()), "by": pa.array([b"ab", b"cd"], pa.binary(2)),
    "ss": pa.array([["a"], ["b"]], pa.list_(pa.string(), 1)), "bd": pa.array([1, 2], pa.decimal256(40, 3)),
    "strict": pa.RunEndEncodedArray.from_arrays([2], ["r"]), "at": pa.array([MS, MS], pa.timestamp("us", "UTC")),
    "is": pa.array([[1], [2]], pa.large_list(pa.int64())),
}
seed("arrow", "types", arrow(more))

document = plain | {
    "l": bson.Int64(1 << 40), "ts": datetime.datetime(2026, 1, 1), "by": b"\0\xff", "u": bson.Binary(uuid.UUID(plain["u"]).bytes, 4),
    "bd": bson.Decimal128("12.50"), "j": {"id": bson.ObjectId("507f1f77bcf86cd799439011"), "r": bson.Regex("a+"), "t": bson.Timestamp(7, 1)},
    "o": {"min": bson.MinKey(), "c": bson.Code("f()", {"x": 1}), "d": bson.DBRef("c", 1)}, "at": bson.Int64(MS), "tss": [datetime.datetime(2026, 1, 1)],
}
seed("bson", "good", bson.encode(document))
seed("bson", "nulls", bson.encode(nulls | {"at": bson.Int64(MS)}))
seed("bson", "small", bson.encode({"at": bson.Int64(MS), "is": [1, None, 2], "s": "x"}))

seed("clp", "good", text(plain | {"s": "INFO task_1 took 0.335 s, id=0xab12 -17 user=alice%", "got": "a 5", "text": "x", "j": {"a": 1}}))
seed("clp", "odd", text({"at": MS, "s": 5, "got": ["x", 1], "text": None, "j": {"a": 1}}))
seed("clp", "numbers", text({"at": MS, "s": "1 -0 0.0 -0.5 9223372036854775808 123456789012345678 0001 1e5 \\ \x11\x12\x13 é1 a=1.2.3"}, ensure_ascii=False))
