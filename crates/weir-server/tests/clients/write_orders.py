"""Writes orders as the reference serializers do, for the tests of decoders in it/bad_days_decoders.rs.

Arguments: URL of a schema registry, what subjects begin with, how many orders, a folder. Into the folder go one file for each
way to write them (every message behind its length in four bytes, the highest first), `order.desc`, a descriptor set, and
`order.avsc`, the schema whose MD5 stands before the messages of `avro-hashed`.
"""

import hashlib
import io
import json
import pathlib
import sys

import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

url, prefix, count, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4])
client = SchemaRegistryClient({"url": url})

AVRO = """{"type":"record","name":"Order","namespace":"shop","fields":[
  {"name":"id","type":"long"},
  {"name":"country","type":["null",{"type":"enum","name":"Country","symbols":["DE","FR","IT"]}]},
  {"name":"tags","type":{"type":"array","items":"string"}},
  {"name":"unread","type":{"type":"map","values":"double"}},
  {"name":"paid","type":"boolean"},
  {"name":"amount","type":"double"},
  {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}"""
JSON = """{"title":"Order","type":"object","properties":{"id":{"type":"integer"},"country":{"type":"string"},
  "tags":{"type":"array","items":{"type":"string"}},"paid":{"type":"boolean"},"amount":{"type":"number"},
  "ts":{"type":"integer"}}}"""


def order(at):
    return {
        "id": at,
        "country": ["DE", "FR", "IT"][at % 3],
        "tags": ["a", f"t{at % 7}"],
        "paid": at % 2 == 0,
        "amount": at % 10 + 0.5,
        "ts": 1767225600000 + at * 1000,
    }


def context(topic):
    return SerializationContext(f"{prefix}-{topic}", MessageField.VALUE)


def write(name, make):
    with open(folder / name, "wb") as file:
        for at in range(count):
            message = make(at)
            file.write(len(message).to_bytes(4, "big") + message)


def file_of_messages():
    file = descriptor_pb2.FileDescriptorProto(name=f"{prefix}.proto", syntax="proto3", package="shop")
    file.message_type.add(name="Unused")
    message = file.message_type.add(name="Order")
    field = descriptor_pb2.FieldDescriptorProto
    for name, number, kind, label in [
        ("id", 1, field.TYPE_INT64, field.LABEL_OPTIONAL),
        ("country", 2, field.TYPE_STRING, field.LABEL_OPTIONAL),
        ("tags", 3, field.TYPE_STRING, field.LABEL_REPEATED),
        ("paid", 4, field.TYPE_BOOL, field.LABEL_OPTIONAL),
        ("amount", 5, field.TYPE_DOUBLE, field.LABEL_OPTIONAL),
        ("ts", 6, field.TYPE_INT64, field.LABEL_OPTIONAL),
    ]:
        message.field.add(name=name, number=number, type=kind, label=label)
    return file


schema = fastavro.parse_schema(json.loads(AVRO))


def avro(at):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {**order(at), "unread": {"k": 0.5}})
    return out.getvalue()


write("avro", avro)
(folder / "order.avsc").write_text(AVRO)
digest = hashlib.md5(AVRO.encode()).digest()
write("avro-hashed", lambda at: b"\0" + digest + avro(at))
numbered = AvroSerializer(client, AVRO)
write("avro-confluent", lambda at: numbered({**order(at), "unread": {}}, context("avro")))
text = JSONSerializer(JSON, client)
write("json-confluent", lambda at: text(order(at), context("json")))

file = file_of_messages()
(folder / "order.desc").write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Order = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
write("protobuf", lambda at: Order(**order(at)).SerializeToString())
proto = ProtobufSerializer(Order, client, {"use.deprecated.format": False})
write("protobuf-confluent", lambda at: proto(Order(**order(at)), context("proto")))
