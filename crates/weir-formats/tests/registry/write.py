"""Writes messages with the reference serializers of a schema registry, for the tests in main.rs.

Registers schemas at the URL that is the first argument, under subjects that begin with the second, and prints one line for
each message: what it is, and its bytes in base64.
"""

import base64
import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

url, prefix = sys.argv[1:3]
client = SchemaRegistryClient({"url": url})


def show(what, message):
    print(what, base64.b64encode(message).decode())


def context(topic):
    return SerializationContext(f"{prefix}-{topic}", MessageField.VALUE)


MONEY = '{"type":"record","name":"Money","namespace":"c","fields":[{"name":"units","type":"long"}]}'
FIRST = """{"type":"record","name":"Order","fields":[
  {"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null},
  {"name":"tags","type":{"type":"array","items":"string"}},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"""
SECOND = """{"type":"record","name":"Order","fields":[
  {"name":"price","type":"c.Money"},{"name":"id","type":"long"},
  {"name":"added","type":{"type":"map","values":"double"},"default":{}},
  {"name":"name","type":["null","string"],"default":null}]}"""
avro = AvroSerializer(client, FIRST)
show("avro", avro({"id": 1, "name": "ä", "tags": ["a", "b"], "at": 1767225600000}, context("avro")))
show("avro", avro({"id": 2, "name": None, "tags": [], "at": 0}, context("avro")))
client.register_schema(f"{prefix}-money", Schema(MONEY, "AVRO"))
referring = Schema(SECOND, "AVRO", [SchemaReference("c.Money", f"{prefix}-money", 1)])
evolved = AvroSerializer(client, referring)
show("avro", evolved({"price": {"units": 7}, "id": 3, "added": {"x": 0.5}, "name": "c"}, context("evolved")))

SHAPE = '{"title":"Order","type":"object","properties":{"id":{"type":"integer"},"name":{"type":"string"}}}'
show("json", JSONSerializer(SHAPE, client)({"id": 4, "name": "d", "tags": ["x"]}, context("json")))


def field(message, name, number, kind, label=1, type_name=None):
    added = message.field.add(name=name, number=number, type=kind, label=label)
    if type_name:
        added.type_name = type_name


file = descriptor_pb2.FileDescriptorProto(name=f"{prefix}.proto", syntax="proto3", package="shop")
file.message_type.add(name="Unused")
order = file.message_type.add(name="Order")
money = order.nested_type.add(name="Money")
field(money, "units", 1, 3)
field(order, "id", 1, 3)
field(order, "name", 2, 9)
field(order, "tags", 3, 9, 3)
field(order, "price", 4, 11, 1, ".shop.Order.Money")
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
Order, Money = (
    message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in ("shop.Order", "shop.Order.Money")
)
proto = ProtobufSerializer(Order, client, {"use.deprecated.format": False})
made = Order(id=5, name="e", tags=["p", "q"], price=Money(units=9))
show("protobuf", proto(made, context("proto")))

# The registry's other form of a Protobuf schema, its source text: the serializer cannot register it, so it frames by hand.
source = 'syntax = "proto3"; message Order { string name = 2; int64 id = 1; repeated string tags = 3; }'
number = client.register_schema(f"{prefix}-source", Schema(source, "PROTOBUF"))
show("protobuf", b"\0" + number.to_bytes(4, "big") + b"\0" + Order(id=6, name="f").SerializeToString())
