"""What the installed engine can be asked: its routes and headers by its source, its fields by its own classes. Nothing of it is started."""

import ast
import dataclasses
import importlib
import importlib.util
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typing_extensions

from stack.serving.policy import BodyKind

HTTP_VERBS = frozenset({"get", "post", "put", "delete", "patch", "head", "options", "route", "api_route", "websocket", "mount", "add_route", "add_api_route"})
PROTOCOLS: dict[BodyKind, tuple[str, tuple[str, ...]]] = {
    "chat": ("vllm.entrypoints.openai.chat_completion.protocol", ("ChatCompletionRequest",)),
    "completions": ("vllm.entrypoints.openai.completion.protocol", ("CompletionRequest",)),
    "embeddings": ("vllm.entrypoints.pooling.embed.protocol", ("EmbeddingCompletionRequest", "EmbeddingChatRequest")),
}


def is_installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


def routes() -> set[str]:
    """Every path that a module of the engine's servers gives to a router, whatever option or model it is for."""
    return {path for tree in _sources() for node in ast.walk(tree) if isinstance(node, ast.Call) and (path := _path_of(node))}


def headers() -> set[str]:
    """Every request header that they read, in lower case."""
    found: set[str] = set()
    for tree in _sources():
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and "headers" in ast.unparse(node.func.value):
                name = node.args[0].value if isinstance(node.args[0], ast.Constant) else constants.get(ast.unparse(node.args[0]))
                found.update({name.lower()} if isinstance(name, str) else ())
    return found


def fields(kind: BodyKind) -> dict[str, Any]:
    """Names of a body's fields, with the types that they are read as."""
    module, names = PROTOCOLS[kind]
    known: dict[str, Any] = {}
    for model in (getattr(importlib.import_module(module), name) for name in names):
        for name, field in model.model_fields.items():
            known |= {str(each): field.annotation for each in (name, field.alias, field.validation_alias) if each}
    return known


def inner_fields(annotation: Any) -> dict[str, Any]:
    """The fields, with their types, of all models, structs, dataclasses and typed dictionaries that a value may be read as."""
    if typing.get_args(annotation):
        return {name: kind for each in typing.get_args(annotation) for name, kind in inner_fields(each).items()}
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(annotation)}
    if hasattr(annotation, "model_fields"):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    if isinstance(annotation, type) and (dataclasses.is_dataclass(annotation) or typing_extensions.is_typeddict(annotation)):
        return typing_extensions.get_type_hints(annotation)
    return {}


def content_parts() -> tuple[set[str], set[str]]:
    """Of the parts of a message's content: names of their types, and of their fields."""
    parts = typing_extensions.get_type_hints(importlib.import_module("vllm.renderers.chat_utils").CustomChatCompletionMessageParam)["content"]
    return set(_literals(parts)), set(inner_fields(parts))


def _literals(annotation: Any) -> Iterator[str]:
    for each in typing.get_args(annotation):
        if typing_extensions.is_typeddict(each):
            yield from typing.get_args(typing_extensions.get_type_hints(each).get("type"))
        else:
            yield from _literals(each)


def _sources() -> Iterator[ast.Module]:
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for path in sorted((Path(spec.submodule_search_locations[0]) / "entrypoints").rglob("*.py")):
        yield ast.parse(path.read_bytes())


def _path_of(call: ast.Call) -> str | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    is_route = name.lower() in HTTP_VERBS or name in {"Mount", "Route"}
    return first if is_route and isinstance(first, str) and first.startswith("/") else None
