"""
Steps, one record at a time: what plans over columns are held against.

Written for clarity and nothing else. It takes from an operation what it was given
and none of what it does.
"""

from typing import Any

from overwinter.migration import Step

Record = dict[str, Any]


def interpret(steps: "tuple[Step, ...]", record: Record) -> Record:
    """Return *record* as *steps* leave it, one after the other."""
    for step in steps:
        for operation in step.operations:
            record = _after(operation, dict(record))
    return record


def _after(operation: Any, record: Record) -> Record:
    name = type(operation).__name__
    if name == "_Rename":
        record[operation.new] = record.pop(operation.old)
    elif name == "_Add":
        record[operation.name] = operation.default
    elif name == "_Drop":
        del record[operation.name]
    elif name == "_Replace":
        value = record.pop(operation.old)
        record[operation.new] = None if value is None else operation.up(value)
    elif name == "_Each":
        record[operation.name] = _inside(
            operation, record[operation.name], operation.keyed
        )
    elif name == "_Custom":
        made = operation.up(dict(record))
        for field in operation.removes:
            del record[field]
        for field in (*operation.adds, *operation.changes):
            record[field] = made[field]
    else:
        raise AssertionError(f"the interpreter does not know {name}")
    return record


def _inside(operation: Any, value: Any, keyed: bool) -> Any:
    if isinstance(value, list):
        return [_inside(operation, each, keyed) for each in value]
    if value is None:
        return None
    if keyed:
        return {key: _inside(operation, each, False) for key, each in value.items()}
    if operation.where is not None:
        tag, case = operation.where
        if value[tag] != case:
            return value
    for inner in operation.operations:
        value = _after(inner, dict(value))
    return value
