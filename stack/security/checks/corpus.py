"""What the gateway checks send: routes, paths, framings and fields that must be refused (data).

Routes are those vLLM 0.32 serves beside the ones clients need, several of them without a key of their own;
paths and framings are the forms behind known bypasses (CVE-2026-48746: key check passed by a path spelled otherwise);
fields are those behind advisories against the engine.
"""

from collections.abc import Iterator
from typing import Any

# 0: the connection was closed without an answer.
REFUSALS = frozenset({0, 400, 401, 403, 404, 405, 411, 413, 414, 426, 431, 501, 505})

UNLISTED_ROUTES: tuple[tuple[str, str], ...] = (
    *(("GET", path) for path in ("/metrics", "/version", "/load", "/server_info", "/docs", "/openapi.json", "/ping", "/is_sleeping", "/v1/messages")),
    *(("GET", path) for path in ("/", "/v1", "/stats", "/ready", "/config_dump", "/server_load")),
    *(("POST", path) for path in ("/tokenize", "/detokenize", "/invocations", "/pooling", "/classify", "/score", "/rerank", "/generative_scoring")),
    *(("POST", path) for path in ("/v1/score", "/v1/rerank", "/v2/rerank", "/v1/responses", "/v1/messages", "/v1/audio/transcriptions")),
    *(("POST", path) for path in ("/pause", "/resume", "/sleep", "/wake_up", "/collective_rpc", "/scale_elastic_ep", "/abort_requests")),
    *(("POST", path) for path in ("/init_weight_transfer_engine", "/update_weights", "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache")),
    *(("POST", path) for path in ("/start_profile", "/stop_profile", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/inference/v1/generate")),
    *(("POST", path) for path in ("/v1/models", "/quitquitquit", "/logging")),
)
UNLISTED_METHODS = ("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get")

PATHS = (
    "//v1/models",
    "/v1//models",
    "/v1/./models",
    "/./v1/models",
    "/v1/x/../models",
    "/v1/models/../../metrics",
    "/v1/models/..",
    "/v1/models/",
    "/v1/models/.",
    "/v1/models;a=b",
    "/v1/models..;/metrics",
    "/v1/models/..;/..;/metrics",
    "/v1%2fmodels",
    "/v1%2Fmodels",
    "/v1%5cmodels",
    "/v1\\models",
    "/\\v1/models",
    "/v1/%2e%2e/metrics",
    "/v1/%2E%2E/v1/models",
    "/v1/..%2fmetrics",
    "/v1/..%252fmetrics",
    "/%76%31/models",
    "/v1/model%73",
    "/%6detrics",
    "/v1/models%00",
    "/v1/models%20",
    "/v1/models%0a",
    "/v1/models%3f",
    "/v1/models#/metrics",
    "/V1/models",
    "/v1/MODELS",
    "/v1/mod\u00e8ls",
    "v1/models",
    "*",
    "http://127.0.0.1/v1/models",
    "http://127.0.0.1/metrics",
    "http:/v1/models",
    "/http://127.0.0.1/v1/models",
    "//127.0.0.1/v1/models",
    "/metrics",
    "/metrics/",
    "/metrics?/v1/models",
    "/metrics;/v1/models",
    "/metrics#/v1/models",
    "/metrics%3f/v1/models",
)

DANGEROUS_FIELDS: dict[str, dict[str, Any]] = {
    "chat_template": {"chat_template": "{{ messages }}"},
    "chat_template_kwargs": {"chat_template_kwargs": {"chat_template": "{{ messages }}"}},
    "prompt_embeds": {"prompt_embeds": "AAAA"},
    "mm_processor_kwargs": {"mm_processor_kwargs": {"code_revision": "main"}},
    "media_io_kwargs": {"media_io_kwargs": {"video": {"num_frames": 1000000}}},
    "image by URL": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]}]},
    "a regular expression": {"structured_outputs": {"regex": "(a+)+$"}},
    "a grammar": {"structured_outputs": {"grammar": "root ::= root"}},
    "guided_regex": {"guided_regex": "(a+)+$"},
    "a pattern in a schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "(a+)+$"}}},
    },
    "logits_processors": {"logits_processors": ["builtins.exec"]},
    "kv_transfer_params": {"kv_transfer_params": {"remote_host": "127.0.0.1"}},
    "cache_salt": {"cache_salt": "another tenant's"},
    "priority": {"priority": -1000},
    "vllm_xargs": {"vllm_xargs": {"x": 1}},
    "tool pattern": {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"pattern": "(a+)+$"}}}]},
    "n of 1000": {"n": 1000},
    "best_of": {"best_of": 1000},
    "max_tokens of a million": {"max_tokens": 1_000_000},
    "top_logprobs of 100000": {"logprobs": True, "top_logprobs": 100_000},
    "max_tokens as text": {"max_tokens": "1"},
    "an unknown field": {"stackproof_unknown": 1},
}

# What a message to a client must not hold: components, places in the file system, traces of a program.
LEAKS = (
    *("vllm", "uvicorn", "starlette", "fastapi", "pydantic", "envoy", "ext_authz", "upstream"),
    *("traceback", "site-packages", ".py", "/usr/", "/home/", "/root/"),
)
INNER_HEADERS = frozenset({"x-powered-by", "x-vllm-version", "via", "x-stackproof-tenant", "x-process-time"})


def framings(authorization: str) -> Iterator[tuple[str, list[str], bytes]]:
    """Name, request and header lines, body."""
    get, post = "GET /v1/models HTTP/1.1", "POST /v1/chat/completions HTTP/1.1"
    common = ["Connection: close", f"Authorization: {authorization}"]
    typed = ["Host: gateway", *common, "Content-Type: application/json"]
    smuggled = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n"
    yield "two different lengths", [post, *typed, "Content-Length: 2", "Content-Length: 4"], b"{}{}"
    yield "a length and chunks", [post, *typed, f"Content-Length: {len(smuggled)}", "Transfer-Encoding: chunked"], smuggled
    yield "an unknown transfer encoding", [post, *typed, "Transfer-Encoding: xchunked"], smuggled
    yield "two transfer encodings", [post, *typed, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"], smuggled
    yield "a length that is no number", [post, *typed, "Content-Length: +2"], b"{}"
    yield "a negative length", [post, *typed, "Content-Length: -2"], b"{}"
    yield "a space before a header's colon", [post, *typed, "Content-Length : 2"], b"{}"
    yield "two hosts", [get, "Host: gateway", "Host: other", *common], b""
    yield "no host", [get, *common], b""
    yield "an underscore for a hyphen", [post, *typed, "Content_Length: 2", "Content-Length: 0"], b"{}"
    yield "two keys", [get, "Host: gateway", *common, "Authorization: Bearer other"], b""
    yield "another protocol version", ["GET /v1/models HTTP/3.7", "Host: gateway", *common], b""
