import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_client import policy_client

from stack.privacy import KINDS, Mask, Pseudonym, create_key, find, find_all, redact
from stack.privacy.keys import KEY_BYTES, Key
from stack.serving.audit_log import AuditLog
from stack.serving.decisions import Decider
from stack.serving.errors import ServingError
from stack.serving.judge import Call
from stack.serving.keys import ApiKey, KeyRing, hash_key
from stack.serving.metrics import GatewayMetrics
from stack.serving.policy import GatewayPolicy, Requests, load_policy, parse_policy
from stack.serving.policy_app import build_answerer
from stack.serving.redaction import apply_edits, build_redactors, redact_body, write_edits
from stack.serving.requests import RefusedError, check_body
from stack.serving.tenants import RateClass, Redact

MAIL, CARD, PHONE = "ann@clinic.co.ke", "4111 1111 1111 1111", "+254 712 345678"
FIVE = ("email", "phone", "card", "iban", "national_id")
CAPS: Requests = load_policy().requests
KEY, ENGINE_KEY = "sp-client", "sp-engine"
RING = KeyRing((ApiKey(tenant="clinic", sha256=hash_key(KEY)), ApiKey(tenant="school", sha256=hash_key("sp-school"), rate_class="school")))

words = st.sampled_from([MAIL, CARD, PHONE, "DE89370400440532013000", "Привет", "😀", '"', "\\", "/", "\n", "\t", "\x7f", "\u2028", "é", "a@b", " "])
texts = st.lists(st.one_of(words, st.text(st.characters(exclude_categories=["Cs"]), max_size=6)), min_size=1, max_size=8).map(" ".join)


def passed(body: dict[str, Any] | str) -> bytes:
    """As bytes, once the closed schema has taken it."""
    text = body if isinstance(body, str) else json.dumps(body)
    check_body("chat", text.encode(), CAPS)
    return text.encode()


def redacted(body: bytes, how: Mask | Pseudonym | None = None) -> Any:
    made = redact_body(body, lambda found: find_all(found, FIVE), how or Mask())
    return json.loads(apply_edits(body, made.edits))


def plain(text: str) -> str:
    return redact(text, find(text, FIVE), Mask())[0]


def escaped(text: str, draw: Any) -> str:
    """A JSON string with any of the escapes that JSON allows for each character."""
    parts = []
    for character in text:
        units = character.encode("utf-16-be")
        long = "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
        ways = [json.dumps(character)[1:-1], long, long.replace("\\u", "\\U").upper().replace("\\U", "\\u")]
        if character not in '"\\' and character >= " ":
            ways.append(character)
        if character == "/":
            ways.append("\\/")
        parts.append(draw(st.sampled_from(ways)))
    return f'"{"".join(parts)}"'


@settings(deadline=None, max_examples=examples(150))
@given(st.data(), texts, texts, texts)
def test_however_a_body_is_escaped_what_is_left_decodes_to_exactly_the_redacted_texts(data: st.DataObject, one: str, two: str, three: str) -> None:
    def quoted(text: str) -> str:
        return escaped(text, data.draw)

    body = passed(
        f'{{"model": "{MAIL}" , "messages":[{{"role":"system","content":{quoted(one)}}},\n {{"{"c" + chr(92) + "u006fntent"}" : [{{"type":"text","text":'
        f'{quoted(two)}}}],"role":"user"}}], "user" :{quoted(three[:20])}}}'
    )
    assert redacted(body) == {
        "model": MAIL,
        "messages": [{"role": "system", "content": plain(one)}, {"role": "user", "content": [{"type": "text", "text": plain(two)}]}],
        "user": plain(three[:20]),
    }


arguments = st.recursive(
    st.one_of(texts, st.integers(), st.just(int(CARD.replace(" ", ""))), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["to", "card", "phone"]), inner, max_size=3)),
    max_leaves=6,
)


@settings(deadline=None, max_examples=examples(150))
@given(arguments, st.booleans(), st.booleans())
def test_arguments_of_calls_stay_json_and_hold_nothing_that_is_found(value: Any, inner_ascii: bool, outer_ascii: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "send", "arguments": json.dumps(value, ensure_ascii=inner_ascii)}}
    body = passed(json.dumps({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}, ensure_ascii=outer_ascii))
    try:
        got = redacted(body)
    except RefusedError as refused:
        assert "without breaking them" in str(refused)  # noqa: PT017
        return
    left = json.dumps(json.loads(got["messages"][0]["tool_calls"][0]["function"]["arguments"]), ensure_ascii=False)
    assert MAIL not in left
    assert CARD.replace(" ", "") not in left
    if not find(json.dumps(value, ensure_ascii=False), FIVE):
        assert json.loads(left) == value


def test_a_number_in_arguments_leaves_a_text_behind() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": '{"card": 4111111111111111, "to": "\\u0061nn@clinic.co.ke"}'}}
    got = redacted(passed({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}))
    assert json.loads(got["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"card": "[CARD]", "to": "[EMAIL]"}


def test_every_text_is_searched_but_names_and_keys() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "string", "description": f"such as {MAIL}", "default": MAIL}}, "required": ["to"]}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": f"Write to {MAIL}", "name": MAIL},
            {"role": "assistant", "content": "Yes", "reasoning": f"{MAIL} it is", "reasoning_content": f"so {MAIL}", "tool_calls": [
                {"id": MAIL, "type": "function", "function": {"name": "send", "arguments": "{}", "parsed_arguments": {"to": MAIL}}}]},
            {"role": "tool", "tool_call_id": MAIL, "content": [{"type": "text", "text": MAIL}]},
        ],
        "tools": [{"type": "function", "function": {"name": "send", "description": f"to {MAIL}", "parameters": schema}}],
        "user": MAIL,
        "stop": [MAIL],
        "structured_outputs": {"choice": [MAIL, "none"]},
    }  # fmt: skip
    body_bytes = passed(body)
    assert json.dumps(redacted(body_bytes)) == json.dumps(body).replace(f'"id": "{MAIL}"', '"id": "kept"').replace(
        f'"tool_call_id": "{MAIL}"', '"tool_call_id": "kept"'
    ).replace(MAIL, "[EMAIL]").replace('"kept"', f'"{MAIL}"')
    made = redact_body(body_bytes, lambda found: find_all(found, FIVE), Mask())
    assert made.counts == {"email": 12}


def test_prompts_and_texts_to_embed_are_searched() -> None:
    for field in ("prompt", "input"):
        assert redacted(json.dumps({"model": "m", field: MAIL}).encode())[field] == "[EMAIL]"
        assert redacted(json.dumps({"model": "m", field: ["Hello", f"{CARD} is mine"]}).encode())[field] == ["Hello", "[CARD] is mine"]


def test_a_repeated_key_hides_nothing() -> None:
    text = f'{{"model":"m","messages":[{{"role":"user","content":"{MAIL}"}}],"messages":[{{"role":"user","content":"{MAIL}","content":"Hi {PHONE}"}}]}}'
    made = redact_body(passed(text), lambda found: find_all(found, FIVE), Mask())
    left = apply_edits(text.encode(), made.edits)
    assert MAIL.encode() not in left
    assert json.loads(left)["messages"][0]["content"] == "Hi [PHONE]"


def test_a_body_without_personal_data_has_no_edits() -> None:
    body = passed({"model": "m", "messages": [{"role": "user", "content": 'Grüße, "Welt"\n😀'}]})
    made = redact_body(body, lambda found: find_all(found, FIVE), Mask())
    assert (made.edits, made.counts, write_edits(body, made.edits)) == ((), {}, f"{len(body)} 0")


def test_edits_are_written_by_gaps_and_hold_no_value() -> None:
    body = f'{{"prompt":"é {MAIL} and {CARD}"}}'.encode()
    header = write_edits(body, redact_body(body, lambda found: find_all(found, FIVE), Mask()).edits)
    assert header == f"{len(body)} 2 14 {len(MAIL)} [EMAIL] 5 {len(CARD)} [CARD]"


def test_more_values_than_a_header_holds_are_refused_and_a_body_of_the_limit_takes_little_time() -> None:
    body = json.dumps({"model": "m", "prompt": "a@b.co " * 28_000}).encode()
    began = time.process_time()
    with pytest.raises(RefusedError, match="holds 28000 pieces of personal data") as refused:
        write_edits(body, redact_body(body, lambda found: find_all(found, FIVE), Mask()).edits)
    assert refused.value.status == 413
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(["a@b.co"] * 20_000),
        json.dumps([4111111111111111] * 11_000),
        "[" + '"\\u0031",' * 20_000 + "1]",
        "\\" * 40_000,
        '"' * 60_000,
        "+254 71 " * 2000,  # the slowest known: 28 us a character, of numbers that are none
        "x@" * 60_000,
    ],
    ids=["strings", "numbers", "escapes", "backslashes", "quotes", "phones", "ats"],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_body_within_the_limits_takes_more_than_a_moment(text: str, ascii_only: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    body = json.dumps({"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}, ensure_ascii=ascii_only).encode()
    began = time.process_time()
    redact_body(body, lambda found: find_all(found, FIVE), Mask())
    assert time.process_time() - began < 3


def test_the_kinds_of_a_policy_are_those_that_can_be_found() -> None:
    assert set(Redact.model_fields["kinds"].default) <= set(KINDS)
    assert Redact(kinds=KINDS).kinds == KINDS


def of(text: str) -> GatewayPolicy:
    shipped = load_policy().model_dump(mode="json")
    return parse_policy(yaml.safe_dump({**shipped, **yaml.load(text, yaml.CSafeLoader)}), source="policy.yaml")


def test_a_class_may_redact_otherwise_or_not_at_all() -> None:
    policy = of("redact: {kinds: [email]}\nclasses: {default: {}, open: {redact: off}, strict: {redact: {kinds: [card, email]}}}")
    assert policy.redact_of("default") == Redact(kinds=("email",))
    assert policy.redact_of("open") is None
    assert policy.redact_of("strict") == Redact(kinds=("card", "email"))
    assert sorted(build_redactors(policy)) == ["default", "strict"]
    assert not load_policy().redacts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("redact: {how: pseudonym}", "`key_file` goes with"),
        ("redact: {key_file: /k}", "`key_file` goes with"),
        ("redact: {how: reversible}", "redact.how"),
        ("redact: {kinds: [dna]}", "redact.kinds"),
        ("redact: {kinds: []}", "redact.kinds"),
        ("redact: {}\nscreening: {pii: refuse}", "exclude each other"),
        ("redact: {restore_answers: true}", "restore_answers"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ServingError, match=told):
        of(text)


def test_countries_and_keys_that_are_none_are_told_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="unknown country 'XQ'"):
        build_redactors(of("redact: {countries: [XQ]}"))
    with pytest.raises(Exception, match="cannot be read"):
        build_redactors(of(f"redact: {{how: pseudonym, key_file: {tmp_path}/none}}"))
    with pytest.raises(ServingError, match="class default: the policy takes personal data"):
        Decider(of("redact: {}"), RING, ENGINE_KEY)


@pytest.fixture
def policy(tmp_path: Path) -> GatewayPolicy:
    create_key(tmp_path / "pii.key")
    school = RateClass(redact=Redact(how="pseudonym", key_file=str(tmp_path / "pii.key")))
    return load_policy().model_copy(update={"redact": Redact(kinds=("email",)), "classes": {"default": RateClass(), "school": school}})


def test_the_answer_to_envoy_has_the_edits_and_log_and_metrics_count_them(tmp_path: Path, policy: GatewayPolicy) -> None:
    metrics, log = GatewayMetrics(policy), tmp_path / "audit.jsonl"
    client = policy_client(build_answerer(Decider(policy, RING, ENGINE_KEY, audit=AuditLog(log), metrics=metrics, redactors=build_redactors(policy))))
    for key, content in ((KEY, f"{MAIL} and {MAIL}, {CARD}"), ("sp-school", f"{MAIL} and {CARD}"), (KEY, "Hello")):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
        answer = client.post("/v1/chat/completions", content=body, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        edits = answer.headers["x-stackproof-edits"]
        assert edits.startswith(f"{len(body)} ")
        assert edits.count("[CARD:") == edits.count("[EMAIL:") == (key == "sp-school")
        assert MAIL not in edits
    listed = client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
    assert "x-stackproof-edits" not in listed.headers
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["redacted"] for entry in entries] == [{"email": 2}, {"card": 1, "email": 1}, {}, None]
    assert MAIL not in log.read_text()
    assert metrics.registry.get_sample_value("stackproof_gateway_redacted_values_total", {"tenant": "clinic", "kind": "email"}) == 2
    assert metrics.registry.get_sample_value("stackproof_gateway_redacted_values_total", {"tenant": "school", "kind": "card"}) == 1


class Broken:
    def redact(self, body: bytes) -> tuple[str, dict[str, int]]:
        raise RefusedError("no", status=403)


def test_what_cannot_be_redacted_is_refused_and_gives_its_slot_and_tokens_back() -> None:
    limits = RateClass(redact=Redact(), concurrent_requests=1, tokens_per_minute=5000)
    policy = load_policy().model_copy(update={"classes": {"default": limits}})
    client = policy_client(build_answerer(Decider(policy, RING, ENGINE_KEY, redactors={"default": Broken()})))
    body = {"model": "m", "messages": [{"role": "user", "content": MAIL}], "max_tokens": 3000}
    for number in range(3):
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": str(number)}
        assert client.post("/v1/chat/completions", json=body, headers=headers).status_code == 403


class Slow:
    def __init__(self) -> None:
        self.searched: list[int] = []

    def redact(self, body: bytes) -> tuple[str, dict[str, int]]:
        time.sleep(0.2)
        self.searched.append(len(body))
        return f"{len(body)} 0", {}


def test_a_large_body_is_searched_while_others_are_decided_about_and_not_at_all_for_who_has_left() -> None:
    slow, order = Slow(), list[str]()
    limits = RateClass(redact=Redact(), concurrent_requests=2)
    policy = load_policy().model_copy(update={"classes": {"default": limits, "school": RateClass()}})
    decider = Decider(policy, RING, ENGINE_KEY, redactors={"default": slow})

    async def ask(name: str, key: str, size: int, *, gone: bool = False) -> None:
        async def is_gone() -> bool:
            return gone

        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * size}]}).encode()
        try:
            await decider.decide(Call("POST", "/v1/chat/completions", b"", (f"Bearer {key}",), body), name, is_gone)
            order.append(name)
        except RefusedError as refused:
            order.append(f"{name} {refused.status}")

    async def both() -> None:
        large = asyncio.create_task(ask("large", KEY, 9000))
        await asyncio.sleep(0.05)
        left = asyncio.create_task(ask("left", KEY, 9000, gone=True))
        await ask("small", "sp-school", 10)
        await asyncio.gather(large, left)
        await asyncio.gather(ask("again", KEY, 9000))

    asyncio.run(both())
    assert order == ["small", "large", "left 403", "again"]
    assert len(slow.searched) == 2


def test_a_fault_of_the_search_is_a_refusal_that_tells_its_kind_and_no_value(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> None:
        raise KeyError(MAIL)

    monkeypatch.setattr("stack.serving.redaction.redactor.find_all", fails)
    redactor = build_redactors(of("redact: {}"))["default"]
    with pytest.raises(RefusedError, match="could not be taken out") as refused:
        redactor.redact(passed({"model": "m", "messages": [{"role": "user", "content": MAIL}]}))
    assert refused.value.status == 403
    assert "KeyError" in caplog.text
    assert MAIL not in caplog.text


def test_pseudonyms_are_the_same_for_the_same_value() -> None:
    got = redacted(json.dumps({"prompt": [MAIL, MAIL.upper(), "bob@clinic.co.ke"]}).encode(), Pseudonym(Key(bytes(KEY_BYTES))))["prompt"]
    assert got[0] == got[1] != got[2]
