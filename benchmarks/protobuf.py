"""
Messages of protobuf, made at run time: no protoc, and no file that it wrote.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["BYTES", "FLOAT", "INTEGER", "MAP", "TEXT", "TEXTS", "message"]

_Field = descriptor_pb2.FieldDescriptorProto
TEXT = _Field.TYPE_STRING, _Field.LABEL_OPTIONAL
TEXTS = _Field.TYPE_STRING, _Field.LABEL_REPEATED
BYTES = _Field.TYPE_BYTES, _Field.LABEL_OPTIONAL
INTEGER = _Field.TYPE_INT64, _Field.LABEL_OPTIONAL
FLOAT = _Field.TYPE_DOUBLE, _Field.LABEL_OPTIONAL
MAP = "map"


def message(name: str, fields: Mapping[str, Any]) -> Any:
    """
    Return the class of a message whose ``items`` are messages with *fields*.

    Args:
        name: Of one item.
        fields: Name to one of this module's types, or ``MAP``: texts to integers.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package="overwinter.benchmarks", syntax="proto3"
    )
    item = file.message_type.add(name=name)
    scope = f".{file.package}.{name}"
    for number, (field, kind) in enumerate(fields.items(), 1):
        if kind != MAP:
            item.field.add(name=field, number=number, type=kind[0], label=kind[1])
            continue
        # As protoc does it: a map is a list of entries with an option set.
        entry = item.nested_type.add(name=f"{field.title()}Entry")
        entry.options.map_entry = True
        for place, (part, of) in enumerate((("key", TEXT), ("value", INTEGER)), 1):
            entry.field.add(name=part, number=place, type=of[0], label=of[1])
        item.field.add(
            name=field,
            number=number,
            type=_Field.TYPE_MESSAGE,
            label=_Field.LABEL_REPEATED,
            type_name=f"{scope}.{entry.name}",
        )
    whole = file.message_type.add(name=f"{name}s")
    whole.field.add(
        name="items",
        number=1,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_REPEATED,
        type_name=scope,
    )
    # A pool of its own: the same name may be made again.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{file.package}.{whole.name}")
    return message_factory.GetMessageClass(found)
